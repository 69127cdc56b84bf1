import { useState } from "preact/hooks";
import { access, may } from "../../api/access";
import { call, type Schemas } from "../../api/client";
import { useGet } from "../../api/use";
import { Action } from "../../components/action";
import { Badge } from "../../components/badge";
import { confirmChange } from "../../components/confirm";
import { Copy } from "../../components/copy";
import { Empty, Section } from "../../components/page";
import { Loaded } from "../../components/problem";
import { Table, type Column } from "../../components/table";
import { Time } from "../../components/time";
import { TokenForm } from "./token_form";

type Token = Schemas["TokenView"];

/** The tokens that callers may use. */
export function Tokens() {
  const tokens = useGet("/v1/tokens", undefined, { refresh: 10_000 });
  const [isCreating, setCreating] = useState(false);
  const [created, setCreated] = useState<Schemas["CreatedTokenView"] | null>(null);
  return (
    <Section
      title="Tokens"
      actions={
        may("create_token") &&
        !isCreating && (
          <button type="button" onClick={() => setCreating(true)}>
            Create token
          </button>
        )
      }
    >
      {access.value?.tokens_required === false && (
        <p class="muted">
          Callers on this machine need no token. <code>require_tokens = true</code> in <code>[access]</code> changes that;
          create one with the role admin first.
        </p>
      )}
      {isCreating && <TokenForm close={() => setCreating(false)} created={setCreated} />}
      {created !== null && <Secret created={created} close={() => setCreated(null)} />}
      <Loaded of={tokens}>
        {(list) => (
          <Table
            label="Tokens, oldest first"
            columns={columns()}
            items={list.tokens}
            keyOf={({ id }) => id}
            empty={
              <Empty title="No tokens.">
                {access.value?.tokens_required === true
                  ? "Create one for each person and each program."
                  : "Callers on this machine need none. Create tokens before others can reach the admin interface."}
              </Empty>
            }
          />
        )}
      </Loaded>
    </Section>
  );
}

function Secret({ created, close }: { created: Schemas["CreatedTokenView"]; close: () => void }) {
  return (
    <div class="card stack" role="status">
      <p>Copy the token {created.token.name ?? created.token.id} now. The host does not show it again.</p>
      <code class="secret">{created.secret}</code>
      <div class="actions">
        <Copy text={created.secret} label="Copy the token" />
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
    </div>
  );
}

function columns(): Column<Token>[] {
  const shown: Column<Token>[] = [
    { title: "Id", width: "6rem", cell: ({ id }) => <code>{id}</code> },
    {
      title: "Name",
      width: "minmax(5rem, 1fr)",
      cell: ({ name, id }) => `${name ?? ""}${id === access.value?.token?.id ? " (yours)" : ""}`,
    },
    { title: "Role", width: "5rem", cell: ({ role }) => role },
    { title: "Plugin", width: "6rem", isSecondary: true, cell: ({ plugin }) => plugin ?? "all" },
    {
      title: "Payloads",
      width: "5rem",
      isSecondary: true,
      cell: ({ hide_payloads }) => (hide_payloads ? "hidden" : "shown"),
    },
    {
      title: "Expires",
      width: "minmax(6rem, 11rem)",
      isSecondary: true,
      cell: ({ expired, expires_at }) => (
        <>
          {expired && <Badge tone="warn">expired</Badge>} {expires_at === null ? "never" : <Time at={expires_at} />}
        </>
      ),
    },
    {
      title: "Created",
      width: "minmax(6rem, 11rem)",
      isSecondary: true,
      cell: ({ created_at }) => <Time at={created_at} />,
    },
    { title: "Created by", width: "minmax(5rem, 1fr)", isSecondary: true, cell: ({ created_by }) => created_by },
  ];
  if (may("revoke_token")) {
    shown.push({
      title: "Action",
      width: "5rem",
      cell: (token) => (
        <Action look="quiet" act={() => confirmRevocation(token)} label={`Revoke the token ${token.name ?? token.id}`}>
          Revoke
        </Action>
      ),
    });
  }
  return shown;
}

function confirmRevocation({ id, name, role }: Token): void {
  const isOwn = id === access.value?.token?.id;
  confirmChange({
    title: "Revoke",
    effect: `From now on, the host rejects the token ${id}${name === null ? "" : ` (${name})`} with the role ${role}.${isOwn ? " It is the one that you use." : ""}`,
    call: `DELETE /v1/tokens/${id}`,
    isDestructive: true,
    run: async () => {
      await call("delete", "/v1/tokens/{id}", { params: { path: { id } } });
      return `The token ${id} is revoked.`;
    },
  });
}
