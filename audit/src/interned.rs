//! Reason codes as numbers: a few dozen texts stand in millions of rows.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

/// A text's number; 0 is no text.
pub(crate) type Code = u32;

#[derive(Default)]
struct Texts {
    codes: HashMap<String, Code>,
    texts: Vec<String>,
}

/// Texts that were given a number.
#[derive(Default)]
pub(crate) struct Interned(Mutex<Texts>);

impl Interned {
    /// The number of a text.
    pub(crate) fn code(&self, text: &str) -> Code {
        let mut texts = self.lock();
        if let Some(code) = texts.codes.get(text) {
            return *code;
        }
        texts.texts.push(text.to_string());
        let code = Code::try_from(texts.texts.len()).unwrap_or(Code::MAX);
        texts.codes.insert(text.to_string(), code);
        code
    }

    /// The number of a text that may be missing.
    pub(crate) fn optional(&self, text: Option<&str>) -> Code {
        text.map_or(0, |text| self.code(text))
    }

    /// The text of a number.
    pub(crate) fn text(&self, code: Code) -> String {
        match code.checked_sub(1) {
            None => "none".to_string(),
            Some(place) => self
                .lock()
                .texts
                .get(place as usize)
                .cloned()
                .unwrap_or_default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Texts> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
