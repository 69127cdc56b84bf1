import { useState } from "preact/hooks";
import { call, type Schemas } from "../../api/client";
import { confirmChange } from "../../components/confirm";
import { EMPTY_TOKEN, PERMITS, ROLES, tokenRequestOf, type TokenDraft } from "../../model/token_form";
import { Choice, Field, FormActions } from "../../components/fields";

interface Props {
  close: () => void;
  created: (token: Schemas["CreatedTokenView"]) => void;
}

/** A form that creates a token. */
export function TokenForm({ close, created }: Props) {
  const [draft, setDraft] = useState(EMPTY_TOKEN);
  const change = (changes: Partial<TokenDraft>) => setDraft((current) => ({ ...current, ...changes }));
  const submit = (event: Event) => {
    event.preventDefault();
    confirmCreation(tokenRequestOf(draft), (token) => {
      created(token);
      close();
    });
  };
  return (
    <form class="form card stack" onSubmit={submit} aria-label="Create token">
      <div class="fields">
        <Field label="Name" value={draft.name} set={(name) => change({ name })} hint="ci" />
        <Choice label="Role" value={draft.role} choices={ROLES} set={(role) => change({ role })} />
        <Field label="Only for the plugin" value={draft.plugin} set={(plugin) => change({ plugin })} hint="all" />
        <Field label="Expires in" value={draft.expiresIn} set={(expiresIn) => change({ expiresIn })} hint="never" />
        <label class="check">
          <input
            type="checkbox"
            checked={draft.hidePayloads}
            onChange={(event) => change({ hidePayloads: event.currentTarget.checked })}
          />
          Hide payloads
        </label>
      </div>
      <p class="muted" role="status">
        The role {draft.role} {PERMITS[draft.role]}.
      </p>
      <FormActions submit="Create" close={close} />
    </form>
  );
}

function confirmCreation(body: Schemas["TokenRequest"], created: Props["created"]): void {
  const { role, plugin, expires_in, hide_payloads } = body;
  const scope = plugin == null ? "all plugins" : `the plugin ${plugin}`;
  const end = expires_in == null ? "It does not expire." : `It expires in ${expires_in}.`;
  confirmChange({
    title: "Create token",
    effect: `Creates a token with the role ${role} for ${scope}${hide_payloads ? ", without payloads" : ""}. ${end} Its secret is shown once.`,
    call: "POST /v1/tokens",
    run: async () => {
      const token = await call("post", "/v1/tokens", { body });
      created(token);
      return `The token ${token.token.id} is created.`;
    },
  });
}
