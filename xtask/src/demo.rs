//! demo
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    stay: bool,
}
pub(crate) fn run(_: &Arguments) -> anyhow::Result<()> {
    Ok(())
}
