import { Link } from "wouter-preact";
import { may } from "../../api/access";
import { useGet } from "../../api/use";
import { Action } from "../../components/action";
import { Section } from "../../components/page";
import { Problem } from "../../components/problem";
import { Table, type Column } from "../../components/table";
import { Time } from "../../components/time";
import type { Schemas } from "../../api/client";
import { letterPlanOf } from "../../model/dead_letters";
import { counted } from "../../model/format";
import { confirmDrop, confirmRedrive } from "../dead_letters/changes";

type Letter = Schemas["DeadLetterView"];

/** The ordering keys of a subscription that are parked behind a dead letter. */
export function ParkedKeys({ id, known }: { id: string; known: number }) {
  const letters = useGet(known > 0 ? "/v1/dead-letters" : null, {
    params: { query: { subscription: id, limit: 1_000 } },
  });
  if (known === 0) {
    return null;
  }
  const parking = (letters.data?.dead_letters ?? []).filter(({ parks }) => parks !== null);
  return (
    <Section title="Parked keys">
      {letters.error !== undefined && <Problem error={letters.error} />}
      <p class="muted">
        Later events with these keys wait until the dead letter is redriven and handled, or dropped.
        {letters.data?.next != null &&
          ` The list has those of the oldest 1,000 dead letters: ${counted(parking.length, "key")} of ${known}.`}
      </p>
      <Table
        label="Parked ordering keys"
        columns={columns()}
        items={parking}
        keyOf={({ number }) => number}
        toneOf={() => "bad"}
        empty={letters.data === undefined && letters.error === undefined ? "Loading…" : null}
      />
    </Section>
  );
}

function columns(): Column<Letter>[] {
  const shown: Column<Letter>[] = [
    { title: "Key", width: "minmax(6rem, 1fr)", cell: ({ parks }) => <code>{parks}</code> },
    {
      title: "Dead letter",
      width: "6rem",
      cell: ({ number }) => <Link href={`/dead-letters/${number}`}>{number}</Link>,
    },
    { title: "Cause", width: "6rem", cell: ({ cause }) => cause },
    {
      title: "Since",
      width: "12.75rem",
      isSecondary: true,
      cell: ({ dead_lettered_at }) => <Time at={dead_lettered_at} />,
    },
  ];
  if (may("redrive_dead_letters") && may("drop_dead_letters")) {
    shown.push({
      title: "Action",
      width: "9rem",
      isSecondary: true,
      cell: (letter) => (
        <>
          <Action
            look="quiet"
            act={() => confirmRedrive(letterPlanOf(letter))}
            label={`Redrive dead letter ${letter.number}`}
          >
            Redrive
          </Action>
          <Action look="quiet" act={() => confirmDrop(letterPlanOf(letter))} label={`Drop dead letter ${letter.number}`}>
            Drop
          </Action>
        </>
      ),
    });
  }
  return shown;
}
