//! Remittances between many members, with all that clients do wrong, and what
//! must come of them by a reckoning that shares nothing with our code.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use anyhow::ensure;
use mypay_schemas::Flow;
use mypay_schemas::remittance::RemittanceRequest;
use mypay_tests::World;
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::money::Reckoning;
use mypay_tests::requests::{Outgoing, remittance};
use mypay_tests::topic::Offsets;
use uuid::Uuid;

/// Enough for whatever a test sends.
const OPENING: i64 = 1_000_000;
/// Enough for any answer on a slow machine, and for a hanging transaction.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// What was asked, and what must come of it.
pub(crate) struct Day {
    members: Vec<Uuid>,
    asked: Asked,
    reckoning: Reckoning,
    /// How many postings each request must have.
    postings: HashMap<Uuid, i64>,
    /// How many dead letters there must be, by reason.
    dead: BTreeMap<String, usize>,
    results_before: Offsets,
    dead_before: Offsets,
    rng: fastrand::Rng,
}

/// The seed of a test, printed so that it can be had again.
pub(crate) fn seeded() -> fastrand::Rng {
    let seed = std::env::var("MYPAY_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("MYPAY_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

impl Day {
    /// A day with new members.
    pub(crate) async fn begin(world: &World, members: usize) -> anyhow::Result<Self> {
        let members = world.members(members, OPENING).await?;
        Ok(Self {
            reckoning: Reckoning::new(&members, OPENING),
            members,
            asked: Asked::default(),
            postings: HashMap::new(),
            dead: BTreeMap::new(),
            results_before: world.ends(Flow::Remittance.result_topic())?,
            dead_before: world.ends(Flow::Remittance.dead_letter_topic())?,
            rng: seeded(),
        })
    }

    /// So many new requests, in random order among each other: of each hundred
    /// about two that must be rejected, and beside them about one that comes a
    /// second time and a few that come again with other content.
    pub(crate) fn requests(
        &mut self,
        world: &World,
        count: usize,
    ) -> anyhow::Result<Vec<Outgoing>> {
        let mut messages = Vec::with_capacity(count + count / 50);
        for _ in 0..count {
            let request = self.request();
            messages.push(world.message(Flow::Remittance, &request)?);
            match self.rng.u32(0..1_000) {
                // The same once more, later, in its own partition.
                0..7 => self.insert(&mut messages, world.message(Flow::Remittance, &request)?),
                // In another partition, whose lane may be handled at the same
                // instant: its client has set another key.
                7..10 => {
                    let mut again = world.message(Flow::Remittance, &request)?;
                    again.key = Some(self.rng.u64(..).to_string().into_bytes());
                    self.insert(&mut messages, again);
                }
                // The same id with other content, behind it in its partition.
                10..12 => {
                    let other = RemittanceRequest {
                        amount: request.amount + 1,
                        ..request
                    };
                    messages.push(world.message(Flow::Remittance, &other)?);
                    self.expect_dead("id_conflict");
                }
                _ => {}
            }
        }
        Ok(messages)
    }

    /// A duplicate goes before or behind others, the original's place included:
    /// which of the two is handled does not matter, they are the same.
    fn insert(&mut self, messages: &mut Vec<Outgoing>, message: Outgoing) {
        let place = self
            .rng
            .usize(messages.len().saturating_sub(500)..=messages.len());
        messages.insert(place, message);
    }

    fn request(&mut self) -> RemittanceRequest {
        let sender = self.member();
        let receiver = self.member();
        let won = self.rng.i64(1..=1_000);
        let (request, must) = match self.rng.u32(0..100) {
            0 => (
                remittance(sender, receiver, -won),
                Must::BeRejected("invalid_amount"),
            ),
            1 => (
                remittance(sender, Uuid::now_v7(), won),
                Must::BeRejected("unknown_receiver"),
            ),
            _ if sender == receiver => (
                remittance(sender, receiver, won),
                Must::BeRejected("same_member"),
            ),
            _ => (remittance(sender, receiver, won), Must::Complete),
        };
        let id = Uuid::try_parse(&request.message_id).unwrap_or_default();
        if must == Must::Complete {
            self.reckoning.remit(sender, receiver, won);
            self.postings.insert(id, 1);
        }
        self.asked.add(&request.message_id, must);
        request
    }

    fn member(&mut self) -> Uuid {
        self.members[self.rng.usize(..self.members.len())]
    }

    /// One dead letter more must be there in the end.
    pub(crate) fn expect_dead(&mut self, reason: &str) {
        *self.dead.entry(reason.to_owned()).or_default() += 1;
    }

    /// Random numbers of the same seed.
    pub(crate) fn rng(&mut self) -> &mut fastrand::Rng {
        &mut self.rng
    }

    /// Fails unless everything is as it must be once all is handled: results,
    /// dead letters, `queue_log`, postings, balances, and the audit.
    pub(crate) async fn is_settled(&self, world: &World) -> anyhow::Result<()> {
        let ids = self.asked.ids();
        let answers = world
            .results_of(Flow::Remittance, &self.results_before, &ids)
            .await?;
        self.asked.are_answered_once(&answers)?;
        self.dead_letters_are_as_expected(world)?;
        let ids: Vec<Uuid> = ids
            .iter()
            .map(|id| Uuid::try_parse(id))
            .collect::<Result<_, _>>()?;
        let statuses = world.statuses("remittance", &ids).await?;
        let all_done = HashMap::from([("done".to_owned(), ids.len() as i64)]);
        ensure!(
            statuses == all_done,
            "queue_log has {statuses:?} of {} requests",
            ids.len()
        );
        ensure!(
            world.postings_of(&ids).await? == self.postings,
            "a posting is missing, or there twice"
        );
        world.balances_are(&self.reckoning).await?;
        world.ledger_adds_up().await?;
        world.audit_is_clean().await
    }

    fn dead_letters_are_as_expected(&self, world: &World) -> anyhow::Result<()> {
        let letters = world.dead_letters(Flow::Remittance, &self.dead_before)?;
        let mut dead: BTreeMap<String, usize> = BTreeMap::new();
        for letter in &letters {
            *dead.entry(letter.reason.clone()).or_default() += 1;
        }
        ensure!(
            dead == self.dead,
            "dead letters: {dead:?}, expected {:?}",
            self.dead
        );
        let places: HashSet<_> = letters.iter().map(|letter| letter.of).collect();
        ensure!(
            places.len() == letters.len(),
            "a message has two dead letters"
        );
        Ok(())
    }
}
