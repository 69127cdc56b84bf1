//! Handles the messages of a host, and answers its calls with the engine.

use std::sync::{Arc, PoisonError};

use serde::Serialize;
use tokio_util::bytes::Bytes;

use super::codec::encode;
use super::protocol::{Compacted, ReadFailure, Request, Settled, StateRequest, ToServer, WireDeclaration};
use super::session::{Session, SharedView};
use crate::bus::{AttemptRecord, CommitError, SettledStatus, Settlement, StoreError, StoreErrorKind};
use crate::outcome::StateError;
use crate::subscription::{Declaration, PublishLimits};
use crate::usage::Usage;

/// Handles a message of a host. Long work runs in tasks of its own.
pub(super) fn receive(session: &Arc<Session>, message: ToServer) {
    match message {
        ToServer::Call { number, request } => {
            let of = Arc::clone(session);
            session.answer(number, async move { answer(&of, request).await });
        }
        ToServer::Grant { feed, credits } => session.grant(feed, credits),
        ToServer::Revoke { feed } => session.revoke(feed),
        ToServer::GiveBack { claim } => session.give_back(claim),
        ToServer::ExpectReply { reply, event, pattern } => session.expect_reply(reply, &event, pattern),
        ToServer::ForgetReply { reply } => session.forget_reply(reply),
        ToServer::CloseState { view } => session.close_state(view),
        ToServer::Heartbeat | ToServer::Goodbye => {}
    }
}

/// Answers a call: the encoded `Result` of its method.
async fn answer(session: &Session, request: Request) -> Bytes {
    let bus = &session.bus;
    match request {
        Request::Settle(settled) => encoded(&settle(session, *settled).await),
        Request::Publish(events) => encoded(&bus.publish(events).await),
        Request::Commit { plugin, effects } => encoded(&bus.commit(&plugin, *effects).await),
        Request::Cancel { source, id } => encoded(&bus.cancel(&source, &id).await),
        Request::Subscribe { id, definition, start } => encoded(&bus.subscribe(id, *definition, start).await),
        Request::DeleteSubscription(id) => encoded(&bus.delete_subscription(id).await),
        Request::Pause { id, paused } => encoded(&bus.pause(id, paused).await),
        Request::Retire(id) => encoded(&bus.retire(id).await),
        Request::HoldEndpoint { endpoint, hold } => encoded(&bus.hold_endpoint(endpoint, hold).await),
        Request::Replay { id, scope } => encoded(&bus.replay(id, *scope).await),
        Request::StopReplays(id) => encoded(&bus.stop_replays(id).await),
        Request::RetryNow(filter) => encoded(&bus.retry_now(filter).await),
        Request::Drain { plugin, drained } => encoded(&bus.drain(&plugin, drained).await),
        Request::Declare { plugin, declaration } => {
            let WireDeclaration { subscriptions, schedules, waiting_events, log_bytes } = *declaration;
            let limits = PublishLimits { waiting_events, log_bytes };
            encoded(&bus.declare(&plugin, Declaration { subscriptions, schedules, limits }).await)
        }
        Request::Withdraw { plugin } => encoded(&bus.withdraw(&plugin).await),
        Request::Compact => {
            let compacted = bus.compact().await;
            encoded(&compacted.map(|step| Compacted { examined: step.examined, deleted: step.deleted }))
        }
        Request::Redrive { filter, limit } => encoded(&bus.redrive(filter, limit).await),
        Request::RedriveEdited { number, data } => encoded(&bus.redrive_edited(number, data).await),
        Request::DropDeadLetters { filter, limit } => encoded(&bus.drop_dead_letters(filter, limit).await),
        Request::SetGroupStatus { member, status, by } => encoded(&bus.set_group_status(member, status, by).await),
        Request::Scheduled { after, limit } => read(bus.scheduled(after, limit).await),
        Request::Schedules => read(bus.schedules().await),
        Request::Events { before, limit } => read(bus.events(before, limit).await),
        Request::EventsWithId(id) => read(bus.events_with_id(id).await),
        Request::Extent => read(bus.extent().await),
        Request::OldestUnhandled => {
            read(bus.oldest_unhandled().await.map(|oldest| oldest.into_iter().collect::<Vec<_>>()))
        }
        Request::DeadLetters { filter, after, limit } => read(bus.dead_letters(filter, after, limit).await),
        Request::CountDeadLetters(filter) => read(bus.count_dead_letters(filter).await),
        Request::DeadLetterGroups { filter, status, limit } => {
            read(bus.dead_letter_groups(filter, status, limit).await)
        }
        Request::DeadLetterCounts => {
            read(bus.dead_letter_counts().await.map(|counts| counts.into_iter().collect::<Vec<_>>()))
        }
        Request::EventsInTree { tree, after, limit } => read(bus.events_in_tree(tree, after, limit).await),
        Request::DeliveriesOf(position) => read(bus.deliveries_of(position).await),
        Request::Deliveries { filter, kind, after, limit } => read(bus.deliveries(filter, kind, after, limit).await),
        Request::SearchEvents { filter, before, limit } => read(bus.search_events(filter, before, limit).await),
        Request::Refresh(feed) => {
            session.send_catalogue().await;
            session.send_progress_of(feed).await;
            read(Ok(()))
        }
        Request::State { view, plugin, read } => {
            let view = session.view(view, &plugin);
            let answer = tokio::task::spawn_blocking(move || read_state(&view, read)).await;
            answer.unwrap_or_else(|error| encoded(&Err::<(), _>(StateError(format!("a read did not finish: {error}")))))
        }
        Request::Draw { plugin, sequence } => {
            let draw = bus.state(&plugin).draw(&sequence);
            encoded(&draw.await)
        }
    }
}

/// Settles a claim of the host.
async fn settle(session: &Session, settled: Settled) -> Result<SettledStatus, CommitError> {
    let Settled { claim: number, verdict, digest, took, effects } = settled;
    let Some(mut claim) = session.take_claim(number) else { return Err(CommitError::NotClaimed) };
    let delivery = Arc::clone(claim.delivery());
    // The other host records what the handler used.
    let record = AttemptRecord { delivery, verdict, digest, took, usage: Usage::default() };
    let result = claim.settle(Settlement { record, effects }).await;
    match result {
        Ok(_) | Err(CommitError::NotClaimed | CommitError::InDoubt) => session.end_claim(number),
        Err(_) => session.put_back(number, claim),
    }
    result
}

/// Reads a plugin's state. Blocks.
fn read_state(view: &SharedView, read: StateRequest) -> Bytes {
    let mut view = view.lock().unwrap_or_else(PoisonError::into_inner);
    match read {
        StateRequest::Get(key) => encoded(&view.get(&key)),
        StateRequest::Keys { after, limit } => encoded(&view.keys(after.as_deref(), limit)),
        StateRequest::ChangedUpTo(read) => encoded(&Ok::<_, StateError>(view.changed_up_to(read))),
        StateRequest::Unreserved(sequence) => encoded(&view.unreserved(&sequence)),
    }
}

/// The largest answer to a read. A larger one would delay heartbeats for too long.
const MAX_READ_BYTES: usize = 16 << 20;

fn read<T: Serialize>(result: Result<T, StoreError>) -> Bytes {
    let answer = encoded(&result.map_err(ReadFailure::from));
    if answer.len() <= MAX_READ_BYTES {
        return answer;
    }
    let reason = "the answer is too large for the connection between hosts; ask for fewer entries with `limit`, or ask the active host";
    encoded(&Err::<(), _>(ReadFailure::from(StoreError::new(StoreErrorKind::Unavailable, reason))))
}

/// An answer that cannot be encoded is empty, which the other host cannot decode.
fn encoded<T: Serialize>(result: &T) -> Bytes {
    encode(result).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer to another host cannot be encoded");
        Bytes::new()
    })
}
