//! Schedules: cron expressions with time zones, and policies for missed times.

use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::reserved::plugin_source;
use crate::event::{AttributeError, Data, Event};

/// A time counts as missed if it passed longer ago than this.
const MISSED_AFTER: Duration = Duration::from_mins(1);

/// The policy for times that were missed by more than a minute, for example because the plugin did not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissedPolicy {
    /// Publish one event for all of them, with the last time.
    #[default]
    RunOnce,
    /// Publish no event.
    Skip,
    /// Publish one event for each of them.
    CatchUp,
}

/// A schedule, which publishes an event at certain times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// A cron expression with five fields, or with six that begin with seconds.
    pub cron: String,
    /// The IANA name of the time zone; UTC if `None`.
    pub timezone: Option<String>,
    /// The policy for missed times.
    pub missed: MissedPolicy,
    /// The event's type.
    pub event_type: String,
    /// The media type of the data.
    pub datacontenttype: Option<String>,
    /// The payload.
    pub data: Option<Vec<u8>>,
}

/// Why a schedule is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidationError {
    /// The cron expression is malformed.
    #[error("`{0}` is not a cron expression with five or six fields: {1}")]
    Cron(String, String),
    /// The time zone is unknown.
    #[error("the time zone `{0}` is unknown; use an IANA name such as Europe/Zurich")]
    TimeZone(String),
    /// The schedule has no future time.
    #[error("`{0}` has no future time")]
    Never(String),
    /// The data that it would publish is not JSON, but declared as such.
    #[error("its data is not JSON, which its media type declares: {0}")]
    Data(String),
    /// The event that it would publish is invalid.
    #[error("the event it would publish is invalid: {0}")]
    Event(#[from] AttributeError),
}

/// The times of a schedule that are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTicks {
    /// The times to publish an event for, in order.
    pub ticks: Vec<Timestamp>,
    /// The next time after them.
    pub next: Option<Timestamp>,
}

impl Schedule {
    /// Validates the schedule.
    ///
    /// # Errors
    /// If it is malformed, or has no future time.
    pub fn check(&self, now: Timestamp) -> Result<(), ValidationError> {
        let event = self.event("1".to_owned(), "p", "s", now);
        event.check()?;
        event.data.as_ref().map_or(Ok(()), Data::check_json).map_err(ValidationError::Data)?;
        let table = Timetable::new(self)?;
        table.after(now).map(drop).ok_or_else(|| ValidationError::Never(self.cron.clone()))
    }

    /// The first time after `time`, if there is one.
    #[must_use]
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        Timetable::new(self).ok()?.after(time)
    }

    /// The next times after `now`, at most `limit`, of a schedule whose next time is `next`. While nothing publishes
    /// its events, `next` may have passed.
    #[must_use]
    pub fn upcoming(&self, next: Timestamp, now: Timestamp, limit: usize) -> Vec<Timestamp> {
        let Ok(table) = Timetable::new(self) else { return Vec::new() };
        let first = if next > now { Some(next) } else { table.after(now) };
        std::iter::successors(first, |time| table.after(*time)).take(limit).collect()
    }

    /// The times that are due by now, at most `limit`, of a schedule whose next time was `next`. Setting the clock back
    /// repeats no time. If it is set forward, the times that it skips are missed.
    #[must_use]
    pub fn due(&self, next: Timestamp, now: Timestamp, limit: usize) -> DueTicks {
        let Ok(table) = Timetable::new(self) else { return DueTicks { ticks: Vec::new(), next: None } };
        if self.missed == MissedPolicy::CatchUp {
            let ticks: Vec<_> = std::iter::successors(Some(next), |tick| table.after(*tick))
                .take_while(|tick| *tick <= now)
                .take(limit)
                .collect();
            let next = ticks.last().map_or(Some(next), |last| table.after(*last));
            return DueTicks { ticks, next };
        }
        let last = table.last(now).filter(|last| *last >= next).unwrap_or(next);
        let missed = now.since(last) > MISSED_AFTER;
        let ticks = if missed && self.missed == MissedPolicy::Skip { Vec::new() } else { vec![last] };
        DueTicks { ticks, next: table.after(now) }
    }

    /// The event for a time. Its id is derived from the time, so that a time is never stored twice.
    #[must_use]
    pub fn event(&self, id: String, plugin: &str, name: &str, due: Timestamp) -> Event {
        Event {
            id,
            source: plugin_source(plugin),
            event_type: self.event_type.clone(),
            subject: Some(name.to_owned()),
            time: Some(due.to_string()),
            datacontenttype: self.datacontenttype.clone(),
            data: self.data.clone().map(|bytes| Data::published(self.datacontenttype.as_deref(), bytes)),
            ..Event::default()
        }
    }
}

struct Timetable {
    cron: croner::Cron,
    zone: TimeZone,
}

impl Timetable {
    fn new(schedule: &Schedule) -> Result<Self, ValidationError> {
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(&schedule.cron);
        let cron = cron.map_err(|error| ValidationError::Cron(schedule.cron.clone(), error.to_string()))?;
        let zone = match &schedule.timezone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| ValidationError::TimeZone(name.clone()))?,
        };
        Ok(Self { cron, zone })
    }

    fn zoned(&self, time: Timestamp) -> Option<jiff::Zoned> {
        let time = jiff::Timestamp::from_millisecond(i64::try_from(time.0).ok()?).ok()?;
        Some(time.to_zoned(self.zone.clone()))
    }

    fn after(&self, time: Timestamp) -> Option<Timestamp> {
        stamp(&self.cron.find_next_occurrence(&self.zoned(time)?, false).ok()?)
    }

    /// The last time at or before `time`.
    fn last(&self, time: Timestamp) -> Option<Timestamp> {
        stamp(&self.cron.find_previous_occurrence(&self.zoned(time)?, true).ok()?)
    }
}

fn stamp(zoned: &jiff::Zoned) -> Option<Timestamp> {
    u64::try_from(zoned.timestamp().as_millisecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn schedule(cron: &str, timezone: Option<&str>, missed: MissedPolicy) -> Schedule {
        Schedule {
            cron: cron.to_owned(),
            timezone: timezone.map(str::to_owned),
            missed,
            event_type: "tick".to_owned(),
            datacontenttype: None,
            data: None,
        }
    }

    #[test]
    fn times_follow_the_zone_across_the_change_of_clocks() {
        let daily = schedule("30 8 * * *", Some("Europe/Zurich"), MissedPolicy::RunOnce);
        assert_eq!(daily.after(at("2030-03-30T00:00:00Z")), Some(at("2030-03-30T07:30:00Z")));
        assert_eq!(daily.after(at("2030-03-31T00:00:00Z")), Some(at("2030-03-31T06:30:00Z")));
        let seconds = schedule("*/20 * * * * *", None, MissedPolicy::RunOnce);
        assert_eq!(seconds.after(at("2030-01-01T00:00:01Z")), Some(at("2030-01-01T00:00:20Z")));
    }

    #[test]
    fn upcoming_times_follow_the_zone_and_skip_what_has_passed() {
        let daily = schedule("30 2 * * *", Some("Europe/Zurich"), MissedPolicy::RunOnce);
        let upcoming = |schedule: &Schedule, next, now, limit| -> Vec<_> {
            schedule.upcoming(at(next), at(now), limit).iter().map(ToString::to_string).collect()
        };
        // 02:30 does not exist on 31 March 2030, when the clocks go forward.
        let spring = upcoming(&daily, "2030-03-30T01:30:00Z", "2030-03-30T00:00:00Z", 3);
        assert_eq!(spring[0], "2030-03-30T01:30:00.000Z");
        assert!(spring[1].starts_with("2030-03-31T01:"), "{spring:?}");
        assert_eq!(spring[2], "2030-04-01T00:30:00.000Z");
        // It exists twice on 27 October, and the event is published once.
        let autumn = upcoming(&daily, "2030-10-26T00:30:00Z", "2030-10-26T00:00:00Z", 3);
        assert_eq!(autumn[0], "2030-10-26T00:30:00.000Z");
        assert!(autumn[1].starts_with("2030-10-27T0"), "{autumn:?}");
        assert_eq!(autumn[2], "2030-10-28T01:30:00.000Z");
        for times in [&spring, &autumn] {
            let next = times.iter().map(|time| daily.after(Timestamp(at(time).0 - 1)).unwrap().to_string());
            assert_eq!(&next.collect::<Vec<_>>(), times, "these are the times at which it publishes");
        }
        let hourly = schedule("0 * * * *", None, MissedPolicy::Skip);
        let paused = upcoming(&hourly, "2030-01-01T01:00:00Z", "2030-01-01T03:30:00Z", 2);
        assert_eq!(paused, ["2030-01-01T04:00:00.000Z", "2030-01-01T05:00:00.000Z"]);
        assert_eq!(
            upcoming(&schedule("often", None, MissedPolicy::Skip), "2030-01-01T01:00:00Z", "2030-01-01T00:00:00Z", 2),
            [""; 0]
        );
    }

    #[test]
    fn missed_times_run_once_are_skipped_or_caught_up_with() {
        let (next, now) = (at("2030-01-01T01:00:00Z"), at("2030-01-01T03:30:00Z"));
        let due = |missed| schedule("0 * * * *", None, missed).due(next, now, 10);
        let later = Some(at("2030-01-01T04:00:00Z"));
        assert_eq!(due(MissedPolicy::RunOnce), DueTicks { ticks: vec![at("2030-01-01T03:00:00Z")], next: later });
        assert_eq!(due(MissedPolicy::Skip), DueTicks { ticks: Vec::new(), next: later });
        let all = [1, 2, 3].map(|hour| at(&format!("2030-01-01T0{hour}:00:00Z"))).to_vec();
        assert_eq!(due(MissedPolicy::CatchUp), DueTicks { ticks: all, next: later });
        let some = schedule("0 * * * *", None, MissedPolicy::CatchUp).due(next, now, 2);
        assert_eq!((some.ticks.len(), some.next), (2, Some(at("2030-01-01T03:00:00Z"))));
    }

    #[test]
    fn a_time_that_has_just_passed_is_not_missed() {
        let (next, now) = (at("2030-01-01T01:00:00Z"), at("2030-01-01T01:00:00.400Z"));
        for missed in [MissedPolicy::RunOnce, MissedPolicy::Skip, MissedPolicy::CatchUp] {
            assert_eq!(schedule("0 * * * *", None, missed).due(next, now, 10).ticks, [next], "{missed:?}");
        }
    }

    #[test]
    fn malformed_schedules_are_refused() {
        let check = |cron, zone| schedule(cron, zone, MissedPolicy::Skip).check(at("2030-01-01T00:00:00Z"));
        assert_eq!(check("0 9 * * 1-5", None), Ok(()));
        assert!(matches!(check("often", None), Err(ValidationError::Cron(..))));
        assert!(matches!(check("61 * * * *", None), Err(ValidationError::Cron(..))));
        assert!(matches!(check("0 9 * * *", Some("Mars/Base")), Err(ValidationError::TimeZone(_))));
        assert!(matches!(check("0 0 31 2 *", None), Err(ValidationError::Never(_))));
    }

    #[test]
    fn data_declared_as_json_must_be_json() {
        let check = |media_type: Option<&str>, data: &[u8]| {
            let schedule = Schedule {
                datacontenttype: media_type.map(str::to_owned),
                data: Some(data.to_vec()),
                ..schedule("0 9 * * *", None, MissedPolicy::Skip)
            };
            schedule.check(at("2030-01-01T00:00:00Z"))
        };
        assert_eq!(check(Some("application/json"), b"{}"), Ok(()));
        assert_eq!(check(Some("text/plain"), b"{"), Ok(()));
        assert_eq!(check(None, b"\xff"), Ok(()));
        for media_type in ["application/json", "application/cloudevents+json"] {
            assert!(matches!(check(Some(media_type), b"{"), Err(ValidationError::Data(_))), "{media_type}");
        }
    }
}
