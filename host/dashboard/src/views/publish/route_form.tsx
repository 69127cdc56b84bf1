import { useState } from "preact/hooks";
import { call, urlOf, type Schemas } from "../../api/client";
import { useShownCall } from "../../api/calls";
import { confirmChange } from "../../components/confirm";
import { Choice } from "../../components/fields";
import { micros } from "../../model/format";
import {
  METHODS,
  draftOfSample,
  faultsOfRequest,
  lineOf,
  matching,
  requestOf,
  type RouteDraft,
} from "../../model/route_request";
import { Field } from "./field";
import { RouteResponse } from "./route_response";
import { ScenarioChoice, useScenarios } from "./scenario_samples";

/** A route of a plugin, `METHOD /path`. */
export interface PluginRoute {
  plugin: Schemas["PluginView"];
  route: string;
}

interface Props {
  draft: RouteDraft;
  setDraft: (draft: RouteDraft) => void;
  routes: PluginRoute[];
}

/** Writes a request, sends it to a route, and shows the response. */
export function RouteForm({ draft, setDraft, routes }: Props) {
  const [isChecked, setChecked] = useState(false);
  const [response, setResponse] = useState<Schemas["RouteResponseView"] | null>(null);
  const requests = (useScenarios().data?.samples ?? []).filter(({ request }) => request !== null);
  const faults = isChecked ? faultsOfRequest(draft) : {};
  useShownCall("POST /v1/requests");
  const submit = (event: Event) => {
    event.preventDefault();
    setChecked(true);
    const [first] = Object.keys(faultsOfRequest(draft));
    if (first !== undefined) {
      const form = event.currentTarget as HTMLFormElement;
      form.querySelector<HTMLElement>(`[name="${first}"]`)?.focus();
      return;
    }
    send(draft, routes, setResponse);
  };
  const field = (name: keyof RouteDraft, label: string, more: object = {}) => (
    <Field
      name={name}
      label={label}
      value={draft[name]}
      fault={faults[name]}
      onInput={(value) => setDraft({ ...draft, [name]: value })}
      {...more}
    />
  );
  return (
    <form class="stack" noValidate onSubmit={submit} aria-label="Request">
      <ScenarioChoice
        label="Begin with a request of a scenario"
        samples={requests}
        textOf={({ request }) => `${request?.method} ${request?.path}`}
        onChoose={({ request }) => request !== null && setDraft(draftOfSample(request))}
      />
      <div class="fields">
        <Choice
          label="Method"
          value={draft.method}
          choices={methodsFor(draft.method)}
          set={(method) => setDraft({ ...draft, method })}
        />
        {field("path", "Path, with its query", { placeholder: "/orders?dry-run=true" })}
      </div>
      {field("headers", "Headers, one NAME: VALUE per line", { rows: 3 })}
      {field("body", "Body", { rows: 6 })}
      <div class="actions">
        <button type="submit" class="primary">
          Send request
        </button>
      </div>
      <div aria-live="polite">{response !== null && <RouteResponse response={response} />}</div>
    </form>
  );
}

/** The methods to choose from. A scenario may use another one. */
function methodsFor(method: string): readonly string[] {
  return (METHODS as readonly string[]).includes(method) ? METHODS : [...METHODS, method];
}

/** What a request does, in words. */
function effectOf(draft: RouteDraft, routes: PluginRoute[]): string {
  const found = matching(routes, draft);
  const line = `Sends ${draft.method} ${draft.path.split("?")[0]}`;
  const [only] = found;
  if (only === undefined) {
    return `${line}. No route of a running plugin matches, so the host responds itself.`;
  }
  const names = found.map(({ plugin, route }) => `${route} of ${plugin.name}`);
  const target = found.length === 1 ? `the route ${names[0]}` : `the most specific of these routes: ${names.join(", ")}`;
  return `${line} to ${target}. The handler runs, and what it publishes and writes is committed, as for any client.`;
}

function send(
  draft: RouteDraft,
  routes: PluginRoute[],
  done: (response: Schemas["RouteResponseView"] | null) => void,
): void {
  const query = lineOf(draft);
  confirmChange({
    title: "Send request",
    effect: <p>{effectOf(draft, routes)}</p>,
    call: `POST ${urlOf("/v1/requests", { params: { query } })}`,
    run: async () => {
      done(null);
      const response = await call("post", "/v1/requests", { params: { query }, body: requestOf(draft) });
      done(response);
      return `The response has the status ${response.status}, after ${micros(response.took_us)}.`;
    },
  });
}
