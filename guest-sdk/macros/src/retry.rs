//! The key `retry(…)`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Result, Token};

use crate::attributes::{Keys, comma, milliseconds, percent, positive, value};
use crate::handler::option;

const CAUSES: [&str; 7] = ["trap", "timeout", "out-of-memory", "webhook", "retry", "exception", "request"];

#[derive(Default)]
pub(crate) struct Retry {
    attempts: Option<u32>,
    first_delay_ms: Option<u64>,
    factor_percent: Option<u32>,
    max_delay_ms: Option<u64>,
    jitter_percent: Option<u32>,
    permanent: Vec<String>,
}

impl Retry {
    pub(crate) fn parse(input: ParseStream<'_>) -> Result<Self> {
        let content;
        syn::parenthesized!(content in input);
        let mut retry = Self::default();
        let mut seen = Keys::default();
        while !content.is_empty() {
            let key: Ident = content.parse()?;
            seen.once(&key)?;
            match key.to_string().as_str() {
                "attempts" => retry.attempts = Some(positive(&value(&content)?)?),
                "first_delay" => retry.first_delay_ms = Some(milliseconds(&value(&content)?)?),
                "factor" => retry.factor_percent = Some(percent(&content, 1.0..=100.0, "the factor is from 1 to 100")?),
                "max_delay" => retry.max_delay_ms = Some(milliseconds(&value(&content)?)?),
                "jitter" => {
                    let what = "jitter is from 0 to 1, the part of each delay that is left to chance";
                    retry.jitter_percent = Some(percent(&content, 0.0..=1.0, what)?);
                }
                "permanent" => retry.permanent = causes(&content)?,
                _ => {
                    return Err(Error::new(
                        key.span(),
                        format!(
                            "unknown key `{key}`; known are `attempts`, `first_delay`, `factor`, `max_delay`, `jitter` \
                             and `permanent`"
                        ),
                    ));
                }
            }
            comma(&content)?;
        }
        Ok(retry)
    }

    /// The policy as the contract has it.
    pub(crate) fn policy(&self) -> TokenStream {
        let attempts = option(self.attempts);
        let first_delay = option(self.first_delay_ms);
        let factor = option(self.factor_percent);
        let max_delay = option(self.max_delay_ms);
        let jitter = option(self.jitter_percent);
        let permanent = &self.permanent;
        quote! {
            ::sandbus_sdk::plugin::RetryPolicy {
                attempts: #attempts,
                first_delay_ms: #first_delay,
                factor_percent: #factor,
                max_delay_ms: #max_delay,
                jitter_percent: #jitter,
                permanent: ::std::vec![#(::std::string::String::from(#permanent)),*],
            }
        }
    }
}

/// `= ["trap", "timeout"]`.
fn causes(input: ParseStream<'_>) -> Result<Vec<String>> {
    input.parse::<Token![=]>()?;
    let content;
    syn::bracketed!(content in input);
    Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?.iter().map(cause).collect()
}

fn cause(literal: &LitStr) -> Result<String> {
    let name = literal.value();
    if CAUSES.contains(&name.as_str()) {
        return Ok(name);
    }
    let known = CAUSES.map(|cause| format!("`{cause}`")).join(", ");
    Err(Error::new(literal.span(), format!("unknown cause of failure; known are {known}")))
}
