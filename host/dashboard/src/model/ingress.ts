import { useMemo } from "preact/hooks";
import { may } from "../api/access";
import { useGet } from "../api/use";
import { ingressOf, type Ingress } from "./event_copies";

/** What is known of the public HTTP port, from the configuration of the host if the reader may see it. */
export function useIngress(): Ingress {
  const mayRead = may("get_configuration");
  const configuration = useGet(mayRead ? "/v1/configuration" : null, undefined, { refresh: 0 });
  return useMemo(() => ingressOf(configuration.data?.settings ?? [], location.hostname), [configuration.data]);
}
