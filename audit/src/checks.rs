//! The comparisons: one file each, and each a function of what was loaded.

mod cash;
mod closings;
mod commands;
mod dead_letters;
mod entry;
mod holds;
mod in_flight;
mod journal;
mod origins;
mod payments;
mod queue_log_rows;
mod recharges;
mod refused;
mod remittances;
mod requests;
mod results;
mod reversals;
mod reversals_told;
#[cfg(test)]
mod sample;
mod settlements;
mod statement;
mod statement_lines;
mod told;
mod top_ups;
mod undos;
mod waiting;

use crate::bank::Bank;
use crate::data::Data;
use crate::report::Check;

/// Makes all comparisons over what was loaded.
pub(crate) fn all(data: &Data) -> Vec<Check> {
    let checks: &[fn(&Data) -> Check] = &[
        requests::check,
        results::done_have_one,
        told::have_requests,
        refused::check,
        dead_letters::check,
        queue_log_rows::check,
        waiting::check,
        in_flight::check,
        recharges::check,
        remittances::check,
        payments::check,
        top_ups::check,
        settlements::check,
        holds::check,
        closings::check,
        journal::check,
        origins::check,
        commands::agree_with_queue_log,
        commands::are_posted,
        commands::numbers_are_unique,
        reversals::check,
        reversals_told::check,
        undos::check,
        statement::commands_are_on_it,
        statement_lines::lines_are_known,
        cash::check,
    ];
    // Independent of each other and purely computing: as many at once as there
    // are cores.
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut made: Vec<(usize, Check)> = std::thread::scope(|scope| {
        let worker = || {
            let mut made = Vec::new();
            loop {
                let place = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                match checks.get(place) {
                    Some(check) => made.push((place, check(data))),
                    None => return made,
                }
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        threads
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(made) => made,
                // A check that panics is a defect of the audit: no verdict.
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    made.sort_by_key(|(place, _)| *place);
    made.into_iter().map(|(_, check)| check).collect()
}

/// Whether a statement has lines whose command was not loaded.
pub(crate) fn has_unknown_lines(data: &Data, bank: &Bank) -> bool {
    statement_lines::has_unknown_lines(data, bank)
}
