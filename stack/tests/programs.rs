//! Programs of ours in a stack's home: no server is started here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mypay_stack::{Condition, Role, Signal, Stack, StackError};

const NO_ENV: [(&str, &str); 0] = [];
const SHORT: Duration = Duration::from_millis(300);

/// A home that is deleted with the test, and its processes with it.
struct Home(PathBuf);

impl Home {
    fn new(test: &str) -> (Self, Stack) {
        let path = std::env::temp_dir().join(format!("mypay-{test}-{}", std::process::id()));
        (Self(path.clone()), Stack::at(path))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn shell(stack: &Stack, name: &str, script: &str) -> i32 {
    stack
        .spawn(name, Path::new("/bin/sh"), ["-c", script], NO_ENV)
        .expect("starts")
}

async fn log_has(stack: &Stack, name: &str, text: &str) {
    for _ in 0..200 {
        if stack.log_tail(name, 10).contains(text) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no {text:?} in {:?}", stack.log_tail(name, 10));
}

async fn condition(stack: &Stack, name: &str) -> Condition {
    let all = stack.status().await.expect("status");
    all.into_iter()
        .find(|service| service.name == name)
        .map_or(Condition::Gone, |service| service.condition)
}

#[tokio::test]
async fn output_goes_to_the_log_and_the_home_is_passed_on() {
    let (home, stack) = Home::new("output");
    let env = [("GREETING", "hello")];
    stack
        .spawn(
            "greeter",
            Path::new("/bin/sh"),
            ["-c", "echo $GREETING $MYPAY_HOME >&2"],
            env,
        )
        .expect("starts");
    log_has(&stack, "greeter", &format!("hello {}", home.0.display())).await;
}

#[tokio::test]
async fn a_name_runs_once_at_a_time() {
    let (_home, stack) = Home::new("once");
    let pid = shell(&stack, "sleeper", "sleep 60");
    let again = stack.spawn("sleeper", Path::new("/bin/sh"), ["-c", "true"], NO_ENV);
    assert!(
        matches!(again, Err(StackError::Running { pid: other, .. }) if other == pid),
        "{again:?}"
    );
    stack.stop("sleeper", SHORT).await.expect("stops");
    assert!(!stack.is_running("sleeper"));
    stack
        .stop("sleeper", SHORT)
        .await
        .expect("to stop what is stopped is no error");
}

#[tokio::test]
async fn one_that_ignores_the_request_is_killed_with_its_children() {
    let (_home, stack) = Home::new("stubborn");
    shell(
        &stack,
        "stubborn",
        "trap '' TERM; sleep 60 & echo child $!; wait; wait",
    );
    log_has(&stack, "stubborn", "child").await;
    let child: i32 = stack
        .log_tail("stubborn", 1)
        .trim()
        .replace("child ", "")
        .parse()
        .expect("a pid");
    stack.stop("stubborn", SHORT).await.expect("stops");
    let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "{state}");
}

#[tokio::test]
async fn a_paused_one_still_runs_and_can_be_stopped() {
    let (_home, stack) = Home::new("paused");
    shell(&stack, "sleeper", "sleep 60");
    stack.kill("sleeper", Signal::SIGSTOP).expect("signalled");
    for _ in 0..100 {
        if condition(&stack, "sleeper").await == Condition::Paused {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(condition(&stack, "sleeper").await, Condition::Paused);
    assert!(stack.is_running("sleeper"));
    stack
        .stop("sleeper", Duration::from_secs(10))
        .await
        .expect("stops");
    assert_eq!(condition(&stack, "sleeper").await, Condition::Gone);
}

#[tokio::test]
async fn down_stops_programs_and_leaves_no_record() {
    let (home, stack) = Home::new("down");
    let pid = shell(&stack, "one", "sleep 60");
    shell(&stack, "two", "sleep 60");
    stack.down(false, |_| ()).await.expect("goes down");
    assert!(!stack.is_running("one") && !stack.is_running("two"));
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "{state}");
    assert_eq!(
        std::fs::read_dir(home.0.join("run"))
            .expect("there")
            .count(),
        0
    );
    stack.down(true, |_| ()).await.expect("goes down again");
    assert!(!home.0.exists());
}

#[tokio::test]
async fn one_that_died_by_itself_is_shown_as_gone_and_may_start_again() {
    let (_home, stack) = Home::new("died");
    let first = shell(&stack, "brief", "exit 3");
    while stack.is_running("brief") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let all = stack.status().await.expect("status");
    let brief = all
        .iter()
        .find(|service| service.name == "brief")
        .expect("still listed");
    assert_eq!((brief.role, brief.pid), (Some(Role::Program), None));
    assert_ne!(shell(&stack, "brief", "exit 0"), first);
}

#[test]
fn a_name_that_is_a_path_is_refused() {
    let (_home, stack) = Home::new("path");
    let outcome = stack.spawn("../escape", Path::new("/bin/true"), [""; 0], NO_ENV);
    assert!(
        matches!(outcome, Err(StackError::Unknown { .. })),
        "{outcome:?}"
    );
}

#[test]
fn what_does_not_run_cannot_be_signalled() {
    let (_home, stack) = Home::new("signal");
    let outcome = stack.kill("kafka-1", Signal::SIGKILL);
    assert!(
        matches!(outcome, Err(StackError::Unknown { .. })),
        "{outcome:?}"
    );
}
