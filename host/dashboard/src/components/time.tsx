import { millisOf, timeText, utc, zoneName } from "../model/time";

/** A time in the chosen zone. The tooltip has the time in UTC. */
export function Time({ at, short = false }: { at: string; short?: boolean }) {
  if (Number.isNaN(millisOf(at))) {
    return <span>{at}</span>;
  }
  const text = timeText(at, utc.value);
  const isToday = text.slice(0, 10) === timeText(new Date().toISOString(), utc.value).slice(0, 10);
  return (
    <time dateTime={at} title={`${timeText(at, true)} UTC`} class="figure">
      {short && isToday ? text.slice(11) : text}
      <span class="visually-hidden"> {zoneName(utc.value)}</span>
    </time>
  );
}
