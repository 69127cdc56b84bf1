import { Link } from "wouter-preact";
import { may } from "../../api/access";
import { Empty, Page, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { EMPTY_DRAFT, draftLike } from "../../model/draft";
import { useQuery } from "../../model/query";
import { useEvents } from "../events/use_events";
import { EventForm } from "./event_form";
import { Routes } from "./routes";
import { ScenarioFaults } from "./scenario_samples";
import "./publish.css";

/** Sends events, and calls the routes of plugins. */
export default function Publish() {
  const template = useQuery().get("template");
  return (
    <Page title="Publish">
      <Section title="Publish an event">
        {!may("publish_events") ? (
          <Empty title="Your role does not permit publishing.">An administrator can create a token with another role.</Empty>
        ) : template === undefined ? (
          <EventForm initial={EMPTY_DRAFT} />
        ) : (
          <FromTemplate key={template} id={template} />
        )}
      </Section>
      <Section title="Call a route">
        <Routes />
      </Section>
      {(may("publish_events") || may("send_request")) && <ScenarioFaults />}
    </Page>
  );
}

function FromTemplate({ id }: { id: string }) {
  const events = useEvents(id);
  const source = useQuery().get("source");
  if (events.error?.status === 404) {
    return (
      <Empty title={`The log has no event ${id} to begin with.`}>
        <Link href="/publish">Begin with an empty event</Link>.
      </Empty>
    );
  }
  return (
    <Loaded of={events}>
      {(all) => {
        const logged = all.find(({ event }) => event.source === source) ?? all[0];
        return (
          <>
            {logged?.event.data_base64 !== undefined && (
              <p class="muted">The data of the event is binary. The form does not have it; use curl for binary data.</p>
            )}
            <EventForm initial={logged === undefined ? EMPTY_DRAFT : draftLike(logged.event)} />
          </>
        );
      }}
    </Loaded>
  );
}
