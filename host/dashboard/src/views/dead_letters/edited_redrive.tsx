import { useState } from "preact/hooks";
import { call, type Schemas } from "../../api/client";
import { confirmChange } from "../../components/confirm";
import { FormActions } from "../../components/fields";
import { Section } from "../../components/page";
import { bodyOf, editableOf, faultOf, mayBeRounded } from "../../model/edited_data";
import { bytes } from "../../model/format";
import { recorded } from "../../model/redrives";
import "./dead_letters.css";

/** A form that redrives a dead letter with other data. */
export function EditedRedrive({ letter, close }: { letter: Schemas["DeadLetterView"]; close: () => void }) {
  const event = letter.edited ?? letter.logged.event;
  const [{ text: original, isBase64 }] = useState(() => editableOf(event));
  const [text, setText] = useState(original);
  const fault = faultOf(text, isBase64);
  const submit = (submitted: Event) => {
    submitted.preventDefault();
    confirm(letter, text, isBase64, close);
  };
  return (
    <Section title="Redrive with edited data">
      <form class="stack" onSubmit={submit}>
        <label for="edited-data">Data {isBase64 ? "in base64" : "in JSON"}</label>
        <textarea
          id="edited-data"
          rows={Math.min(24, Math.max(6, text.split("\n").length + 1))}
          spellcheck={false}
          value={text}
          aria-invalid={fault !== null}
          aria-describedby="edited-fault"
          onInput={(input) => setText(input.currentTarget.value)}
        />
        <p id="edited-fault" class={fault === null ? "muted" : "fault"}>
          {fault ?? "The event in the log stays as it is. The delivery has the attribute sandbusedited."}
        </p>
        {!isBase64 && mayBeRounded(event.data) && (
          <p class="fault">The browser may have rounded integers above 2^53. Correct them before you redrive.</p>
        )}
        <FormActions submit="Redrive with this data" isBlocked={fault !== null} close={close} />
      </form>
    </Section>
  );
}

function confirm(letter: Schemas["DeadLetterView"], text: string, isBase64: boolean, close: () => void): void {
  const { number, subscription } = letter;
  const size = bytes(new TextEncoder().encode(text).length);
  confirmChange({
    title: "Redrive with edited data",
    effect: `Redrives 1 dead letter of ${subscription} with ${size} of edited data.`,
    call: `POST /v1/dead-letters/${number}/redrive`,
    run: async () => {
      await recorded([subscription], async () => {
        const result = await call("post", "/v1/dead-letters/{number}/redrive", {
          params: { path: { number } },
          // The serializer below writes the body as the reader wrote it.
          body: { data: null, data_base64: null },
          bodySerializer: () => bodyOf(text, isBase64),
        });
        return result.redriven;
      });
      close();
      return `Dead letter ${number} is delivered again, with the edited data.`;
    },
  });
}
