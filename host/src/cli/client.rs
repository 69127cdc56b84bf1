//! Asking the running host.

use anyhow::{Context as _, bail};
use reqwest::{Body, Method, Url};
use serde_json::Value;

use super::raw::Answer;
use crate::printable;

/// A client of the admin interface.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned() }
    }

    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, query, None).await
    }

    pub(crate) async fn post(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, query, None).await
    }

    pub(crate) async fn delete(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Answer> {
        self.send(Method::DELETE, path, query, None).await
    }

    /// Posts a body in JSON.
    pub(crate) async fn post_json(&self, path: &[&str], body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &[], Some(("application/json", body.to_string().into()))).await
    }

    /// Posts a component.
    pub(crate) async fn post_wasm(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        bytes: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, query, Some(("application/wasm", bytes.into()))).await
    }

    /// Publishes an event in JSON.
    pub(crate) async fn publish(&self, event: String, query: &[(&str, String)]) -> anyhow::Result<Answer> {
        self.send(Method::POST, &["events"], query, Some(("application/cloudevents+json", event.into()))).await
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<(&str, Body)>,
    ) -> anyhow::Result<Answer> {
        let url = self.url(path, query)?;
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build().context("the HTTP client cannot be set up")?;
        let mut request = client.request(method, url);
        if let Some((media_type, body)) = body {
            request = request.header("content-type", media_type).body(body);
        }
        let answer = request.send().await.map_err(|error| {
            let hint = "is it running? Start it with `sandbus serve`, or name its admin interface with --admin";
            anyhow::Error::new(error.without_url()).context(format!("no host answers at {}; {hint}", self.base))
        })?;
        let status = answer.status();
        let text = answer.text().await.context("the host's answer broke off")?;
        let answer = Answer::read(&text);
        if status.is_success() {
            return Ok(answer);
        }
        // A refusal may quote what a guest or a client has said.
        let detail = printable::line(answer["detail"].as_str().unwrap_or("it does not say why"));
        match answer["code"].as_str() {
            Some(code) => bail!("{detail} ({code})"),
            None => bail!("the host answered {status}: {detail}"),
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Url> {
        let mut url = Url::parse(&self.base).with_context(|| format!("`{}` is no address", self.base))?;
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(path)),
            Err(()) => bail!("`{}` is no http address", self.base),
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}
