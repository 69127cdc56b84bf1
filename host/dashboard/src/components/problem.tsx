import type { ApiError } from "../api/client";

/** An error of the API, with its code. */
export function Problem({ error }: { error: ApiError }) {
  return (
    <div class="problem" role="alert">
      <p>{error.message}</p>
      <p class="muted">
        <code>{error.code}</code>
        {error.status > 0 && <> · HTTP {error.status}</>}
        {error.status > 0 && (
          <>
            {" · "}
            <code>sandbus explain {error.code}</code> has the details
          </>
        )}
      </p>
    </div>
  );
}

/** Shows an error, or that the data is on its way, or the data. */
export function Loaded<Data>(props: {
  of: { data: Data | undefined; error: ApiError | undefined };
  children: (data: Data) => preact.ComponentChildren;
}) {
  const { data, error } = props.of;
  return (
    <>
      {error !== undefined && <Problem error={error} />}
      {data === undefined && error === undefined && (
        <p class="muted" role="status">
          Loading…
        </p>
      )}
      {data !== undefined && props.children(data)}
    </>
  );
}
