//! The rows of the schema. Each module has the statements of one subject.

mod dead_letters;
mod events;
mod group_marks;
mod holds;
mod inspection;
mod pending;
mod scheduled;
mod searches;
mod sequences;
mod state;
mod subscriptions;
mod usage;
