//! The option `retry(…)`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Result, Token};

use crate::attributes::{GivenOptions, comma, duration, parentheses, percent, positive, unknown_option};
use crate::handler::option;

/// Causes of a failed attempt.
const CAUSES: [&str; 7] = ["trap", "timeout", "out-of-memory", "webhook", "retry", "exception", "request"];

const OPTIONS: [&str; 6] =
    ["max_attempts", "initial_delay", "backoff_multiplier", "max_delay", "jitter", "non_retryable"];

const RENAMED: [(&str, &str); 4] = [
    ("attempts", "max_attempts"),
    ("first_delay", "initial_delay"),
    ("factor", "backoff_multiplier"),
    ("permanent", "non_retryable"),
];

#[derive(Default)]
pub(crate) struct Retry {
    max_attempts: Option<u32>,
    initial_delay_ms: Option<u64>,
    backoff_percent: Option<u32>,
    max_delay_ms: Option<u64>,
    jitter_percent: Option<u32>,
    non_retryable: Vec<String>,
}

impl Retry {
    pub(crate) fn parse(input: ParseStream<'_>) -> Result<Self> {
        let content = parentheses(input, "retry(max_attempts = 5)")?;
        let mut retry = Self::default();
        let mut given = GivenOptions::default();
        while !content.is_empty() {
            retry.parse_option(&content, &mut given)?;
            comma(&content)?;
        }
        Ok(retry)
    }

    fn parse_option(&mut self, content: ParseStream<'_>, given: &mut GivenOptions) -> Result<()> {
        let option: Ident = content.parse()?;
        given.add(&option)?;
        match option.to_string().as_str() {
            "max_attempts" => self.max_attempts = Some(positive(content, "max_attempts = 5")?),
            "initial_delay" => self.initial_delay_ms = Some(duration(content, "initial_delay")?),
            "backoff_multiplier" => {
                let rule = "the backoff multiplier is a number from 1 to 100: `backoff_multiplier = 2.0`";
                self.backoff_percent = Some(percent(content, 1.0..=100.0, rule)?);
            }
            "max_delay" => self.max_delay_ms = Some(duration(content, "max_delay")?),
            "jitter" => {
                let rule = "jitter is a number from 0 to 1, the random part of each delay: `jitter = 0.5`";
                self.jitter_percent = Some(percent(content, 0.0..=1.0, rule)?);
            }
            "non_retryable" => self.non_retryable = causes(content)?,
            _ => return Err(unknown_option(&option, &OPTIONS, &RENAMED)),
        }
        Ok(())
    }

    /// The policy as the contract has it.
    pub(crate) fn policy(&self) -> TokenStream {
        let max_attempts = option(self.max_attempts);
        let initial_delay = option(self.initial_delay_ms);
        let backoff = option(self.backoff_percent);
        let max_delay = option(self.max_delay_ms);
        let jitter = option(self.jitter_percent);
        let non_retryable = &self.non_retryable;
        quote! {
            ::sandbus_sdk::plugin::RetryPolicy {
                attempts: #max_attempts,
                first_delay_ms: #initial_delay,
                factor_percent: #backoff,
                max_delay_ms: #max_delay,
                jitter_percent: #jitter,
                permanent: ::std::vec![#(::std::string::String::from(#non_retryable)),*],
            }
        }
    }
}

/// `= ["trap", "timeout"]`.
fn causes(input: ParseStream<'_>) -> Result<Vec<String>> {
    input.parse::<Token![=]>()?;
    let span = input.span();
    let content = || {
        let content;
        syn::bracketed!(content in input);
        Punctuated::<LitStr, Token![,]>::parse_terminated(&content)
    };
    let example = "expected a list of causes: `non_retryable = [\"trap\", \"timeout\"]`";
    content().map_err(|_| Error::new(span, example))?.iter().map(cause).collect()
}

fn cause(literal: &LitStr) -> Result<String> {
    let name = literal.value();
    if CAUSES.contains(&name.as_str()) {
        return Ok(name);
    }
    let causes = CAUSES.map(|cause| format!("`{cause}`")).join(", ");
    Err(Error::new(literal.span(), format!("unknown cause of a failure; the causes are {causes}")))
}

#[cfg(test)]
mod tests {
    use syn::parse::Parser as _;

    use super::*;

    #[test]
    fn each_option_is_known_to_the_parser() {
        for option in OPTIONS {
            let error = Retry::parse.parse_str(&format!("({option} = x)")).err().expect("`x` is not a value");
            assert!(!error.to_string().starts_with("unknown option"), "{option}: {error}");
        }
    }

    #[test]
    fn former_names_are_refused_with_the_present_ones() {
        for (former, name) in RENAMED {
            let error = Retry::parse.parse_str(&format!("({former} = 1)")).err().expect("the name is not in use");
            assert_eq!(error.to_string(), format!("`{former}` is now called `{name}`"));
            assert!(OPTIONS.contains(&name));
        }
    }
}
