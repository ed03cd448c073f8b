//! Setting single settings of topics (IncrementalAlterConfigs, KIP-339).
//!
//! rdkafka 0.39 offers only `alter_configs`, which *replaces*: a setting that is
//! not in the request falls back to the broker's default. Reading all settings
//! first and sending them back would undo what somebody else set in between (a
//! replication throttle, say), and rdkafka drops the error of a single topic, so
//! that a refused change looks done. librdkafka has the incremental call, and its
//! binding is public; this file is the one place of the crate with `unsafe`.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};

use crate::error::ClusterError;

const DOING: &str = "change settings";

/// Settings to set on one topic.
pub(super) struct Change {
    pub(super) topic: String,
    pub(super) settings: Vec<(String, String)>,
}

/// Sets the settings and leaves all others alone, in one request. Blocks until
/// the answer, at most a little longer than `timeout`.
pub(super) fn alter<C: ClientContext>(
    client: &Client<C>,
    changes: &[Change],
    timeout: Duration,
) -> Result<(), ClusterError> {
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let resources: Vec<_> = changes.iter().map(resource).collect::<Result<_, _>>()?;
    // SAFETY: `client` lives longer than this call, so its handle is valid here
    // and until the queue and the options, made from it, are dropped.
    let (queue, options) = unsafe {
        let client = client.native_ptr();
        let op = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
        (
            Owned::new(
                native::rd_kafka_queue_new(client),
                native::rd_kafka_queue_destroy,
            )?,
            Owned::new(
                native::rd_kafka_AdminOptions_new(client, op),
                native::rd_kafka_AdminOptions_destroy,
            )?,
        )
    };
    let mut pointers: Vec<_> = resources.iter().map(Owned::ptr).collect();
    // SAFETY: all pointers are valid and the array is as long as is said. The
    // call copies resources and options, so that they may be dropped after it.
    let event = unsafe {
        native::rd_kafka_AdminOptions_set_request_timeout(
            options.ptr(),
            millis,
            ptr::null_mut(),
            0,
        );
        native::rd_kafka_IncrementalAlterConfigs(
            client.native_ptr(),
            pointers.as_mut_ptr(),
            pointers.len(),
            options.ptr(),
            queue.ptr(),
        );
        // librdkafka itself answers when the time is up; a second more lets it.
        native::rd_kafka_queue_poll(queue.ptr(), millis.saturating_add(1000))
    };
    let event = Owned::new(event, native::rd_kafka_event_destroy)?;
    let reasons = refusals(&event)?;
    if reasons.is_empty() {
        Ok(())
    } else {
        Err(ClusterError::Topics {
            doing: DOING,
            reasons,
        })
    }
}

/// The native form of a change.
fn resource(change: &Change) -> Result<Owned<native::rd_kafka_ConfigResource_t>, ClusterError> {
    let topic = c_string(&change.topic)?;
    // SAFETY: the name is a valid C string, which the call copies.
    let resource = unsafe {
        native::rd_kafka_ConfigResource_new(
            native::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
            topic.as_ptr(),
        )
    };
    let resource = Owned::new(resource, native::rd_kafka_ConfigResource_destroy)?;
    for (name, value) in &change.settings {
        let (name, value) = (c_string(name)?, c_string(value)?);
        // SAFETY: the resource is valid; both strings are copied. An error, where
        // there is one, is ours to free, and its text lives as long as it does.
        unsafe {
            let error = native::rd_kafka_ConfigResource_add_incremental_config(
                resource.ptr(),
                name.as_ptr(),
                native::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
                value.as_ptr(),
            );
            if !error.is_null() {
                let error = Owned::new(error, native::rd_kafka_error_destroy)?;
                return Err(ClusterError::Native(text(native::rd_kafka_error_string(
                    error.ptr(),
                ))));
            }
        }
    }
    Ok(resource)
}

/// What the answer refuses, as `topic: reason`.
fn refusals(event: &Owned<native::rd_kafka_event_t>) -> Result<Vec<String>, ClusterError> {
    let no_error = native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    // SAFETY: the event is valid; result, resources and texts belong to it and
    // are read only while it lives. The array has as many entries as is said.
    unsafe {
        if native::rd_kafka_event_error(event.ptr()) != no_error {
            let reason = text(native::rd_kafka_event_error_string(event.ptr()));
            return Err(ClusterError::Topics {
                doing: DOING,
                reasons: vec![reason],
            });
        }
        let result = native::rd_kafka_event_IncrementalAlterConfigs_result(event.ptr());
        if result.is_null() {
            return Err(ClusterError::Native(
                "an answer of another kind came back".to_owned(),
            ));
        }
        let mut count = 0;
        let resources =
            native::rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count);
        let mut reasons = Vec::new();
        for index in 0..count {
            let resource = *resources.add(index);
            if native::rd_kafka_ConfigResource_error(resource) != no_error {
                let topic = text(native::rd_kafka_ConfigResource_name(resource));
                let reason = text(native::rd_kafka_ConfigResource_error_string(resource));
                reasons.push(format!("{topic}: {reason}"));
            }
        }
        Ok(reasons)
    }
}

/// Copies a C string of librdkafka's.
///
/// # Safety
/// `pointer` is null or a C string that lives during the call.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return "no reason given".to_owned();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}

fn c_string(text: &str) -> Result<CString, ClusterError> {
    CString::new(text).map_err(|_| ClusterError::Native(format!("{text:?} contains a NUL byte")))
}

/// A native object that is freed by its own function.
struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, ClusterError> {
        let pointer = NonNull::new(pointer)
            .ok_or_else(|| ClusterError::Native("no object, or no answer in time".to_owned()))?;
        Ok(Owned { pointer, destroy })
    }

    fn ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from librdkafka together with this function,
        // was not null, and nobody else frees it.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}
