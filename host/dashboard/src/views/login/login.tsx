import { useEffect, useRef, useState } from "preact/hooks";
import { access, logIn } from "../../api/access";
import { ApiError } from "../../api/client";
import { useGet } from "../../api/use";
import { Problem } from "../../components/problem";
import { refused, cookieRefused } from "../../model/login";

/** Asks for a token, or leads to the OpenID provider. The page that was opened follows. */
export default function LogIn() {
  const methods = useGet("/v1/login/methods", undefined, { refresh: 0 });
  useEffect(() => {
    document.title = "Log in · Sandbus";
  }, []);
  const returnTo = encodeURIComponent(location.pathname + location.search);
  return (
    <main id="main" class="login">
      <h1>Log in to Sandbus</h1>
      {methods.data?.openid === true && (
        <>
          <a class="button primary" href={`/v1/login?return_to=${returnTo}`}>
            Continue with your organisation
          </a>
          <p class="muted">Or use a token:</p>
        </>
      )}
      <TokenForm />
      <p class="muted">
        An administrator creates tokens, on the page System or with <code>sandbus token create --role view</code>. The
        browser keeps the token in a cookie that scripts cannot read.
      </p>
    </main>
  );
}

function TokenForm() {
  const input = useRef<HTMLInputElement>(null);
  const [token, setToken] = useState("");
  const [isWorking, setWorking] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  useEffect(() => input.current?.focus(), [error]);
  const submit = async (event: Event) => {
    event.preventDefault();
    setError(null);
    setWorking(true);
    try {
      await logIn(token.trim());
      if (access.value === null) {
        setError(cookieRefused());
      }
    } catch (failure) {
      setError(refused(failure));
    }
    setWorking(false);
  };
  return (
    <form onSubmit={(event) => void submit(event)}>
      {error !== null && <Problem error={error} />}
      <label for="token">Token</label>
      <input
        ref={input}
        id="token"
        type="password"
        autocomplete="current-password"
        autocapitalize="off"
        spellcheck={false}
        placeholder="sbt_"
        required
        aria-invalid={error !== null}
        value={token}
        onInput={(event) => setToken(event.currentTarget.value)}
      />
      <button type="submit" class="primary" disabled={isWorking}>
        {isWorking ? "Logging in…" : "Log in"}
      </button>
    </form>
  );
}
