import { access, may } from "../../api/access";
import { useGet } from "../../api/use";
import { Badge } from "../../components/badge";
import { Facts, Page, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { Time } from "../../components/time";
import { count } from "../../model/format";
import { AuditLog } from "./audit_log";
import { Configuration } from "./configuration";
import { Storage } from "./storage";
import { Tokens } from "./tokens";
import "./system.css";

/** The host itself: storage, ledger, configuration, tokens and the audit log. */
export default function System() {
  return (
    <Page
      title="System"
      actions={
        may("get_metrics") && (
          <a class="button" href="/metrics" target="_blank" rel="noreferrer">
            Metrics
          </a>
        )
      }
    >
      {may("get_storage") ? <Storage /> : <Denied title="Storage" />}
      {may("get_statistics") ? <Ledger /> : <Denied title="Ledger" />}
      {may("get_configuration") ? <Configuration /> : <Denied title="Configuration" />}
      {may("list_tokens") ? <Tokens /> : <Denied title="Tokens" />}
      {may("list_audit") ? <AuditLog /> : <Denied title="Audit log" />}
    </Page>
  );
}

function Denied({ title }: { title: string }) {
  return (
    <Section title={title}>
      <p class="muted">Your role {access.value?.role} does not permit this. Ask an administrator.</p>
    </Section>
  );
}

function Ledger() {
  const statistics = useGet("/v1/statistics");
  return (
    <Section title="Ledger">
      <Loaded of={statistics}>
        {({ ledger }) => (
          <Facts
            rows={[
              [
                "Status",
                ledger.available ? <Badge tone="good">available</Badge> : <Badge tone="bad">not available</Badge>,
              ],
              ["Not available since", ledger.unavailable_since && <Time at={ledger.unavailable_since} />],
              ["Reason", ledger.unavailable_reason],
              ["Records written since the start", count(ledger.written)],
              ["Records lost since the start", count(ledger.lost)],
            ]}
          />
        )}
      </Loaded>
    </Section>
  );
}
