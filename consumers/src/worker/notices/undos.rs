//! What notices tell of that we undo ourselves.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::kept::{Command, Notice};

/// Looks which of these commands have come back by an undo or are about to, under
/// their rows' locks: who approves an undo has the same.
pub(super) async fn look(
    connection: &mut PgConnection,
    waiting: &mut [(Notice, Option<Command>)],
) -> Result<(), sqlx::Error> {
    let commands = waiting.iter().filter_map(|(_, command)| command.as_ref());
    let done: Vec<Uuid> = commands
        .filter(|command| command.state == "done")
        .map(|command| command.firmbanking_id)
        .collect();
    sqlx::query(
        "SELECT 1 FROM banking.firmbanking
          WHERE firmbanking_id = ANY($1) ORDER BY firmbanking_id FOR UPDATE",
    )
    .bind(&done)
    .execute(&mut *connection)
    .await?;
    let undos: HashMap<Uuid, bool> = sqlx::query_as(
        "SELECT firmbanking_id, state = 'done' FROM banking.undo
          WHERE firmbanking_id = ANY($1) AND state IN ('approved', 'asked', 'done')",
    )
    .bind(&done)
    .fetch_all(connection)
    .await?
    .into_iter()
    .collect();
    for command in waiting.iter_mut().filter_map(|(_, it)| it.as_mut()) {
        if let Some(came_back) = undos.get(&command.firmbanking_id) {
            command.came_back |= came_back;
            command.being_undone = !came_back;
        }
    }
    Ok(())
}
