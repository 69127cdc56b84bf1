import { useLocation } from "wouter-preact";
import { may } from "../../api/access";
import { call, type Schemas, type Tagged } from "../../api/client";
import { confirmChange, type Change } from "../../components/confirm";
import { counted } from "../../model/format";
import { ifMatch } from "../../model/plugin_calls";
import { stoppedText } from "../../model/plugin_texts";

type Plugin = Schemas["PluginView"];

interface Props {
  plugin: Tagged<Plugin>;
  subscriptions: Schemas["SubscriptionView"][] | undefined;
}

/** The buttons that start and stop a plugin. */
export function PluginActions({ plugin: { data: plugin, tag }, subscriptions }: Props) {
  const [, navigate] = useLocation();
  // A file without a name has no other one.
  const name = plugin.name ?? plugin.file?.replace(/\.wasm$/, "");
  if (name === undefined || plugin.status === "ignored") {
    return null;
  }
  const stopped = stoppedText(plugin, subscriptions);
  const isLoaded = plugin.digest !== null;
  const button = (operation: string, isOffered: boolean, change: Change, label: string) =>
    isOffered && may(operation) ? (
      <button type="button" class={change.isDestructive ? "danger" : undefined} onClick={() => confirmChange(change)}>
        {label}
      </button>
    ) : null;
  return (
    <>
      {button("resume_plugin", plugin.status === "drained", resume(name, subscriptions), "Resume")}
      {button("drain_plugin", isLoaded && plugin.status !== "drained", drain(name, stopped), "Drain")}
      {button("enable_plugin", plugin.status === "disabled", enable(name, tag), "Enable")}
      {button("disable_plugin", plugin.file !== null && plugin.status !== "disabled", disable(name, tag, stopped), "Disable")}
      {button("remove_plugin", plugin.file !== null, remove(name, tag, stopped, () => navigate("/plugins")), "Remove")}
    </>
  );
}

function path(name: string, action: string): string {
  return `/v1/plugins/${encodeURIComponent(name)}${action}`;
}

function resume(name: string, subscriptions: Props["subscriptions"]): Change {
  const backlog = (subscriptions ?? []).reduce((sum, subscription) => sum + subscription.backlog, 0);
  return {
    title: `Resume ${name}`,
    effect: `Deliveries and routes of ${name} start again, with ${counted(backlog, "delivery", "deliveries")} in the backlog.`,
    call: `POST ${path(name, "/resume")}`,
    run: async () => {
      await call("post", "/v1/plugins/{name}/resume", { params: { path: { name } } });
      return `${name} is resumed.`;
    },
  };
}

function drain(name: string, stopped: string): Change {
  return {
    title: `Drain ${name}`,
    effect: `${stopped} Running invocations end first. ${name} stays loaded and drained until it is resumed.`,
    call: `POST ${path(name, "/drain")}`,
    run: async () => {
      const result = await call("post", "/v1/plugins/{name}/drain", { params: { path: { name } } });
      const running = `still running: ${counted(result.running, "invocation")}.`;
      return result.drained ? `${name} is drained.` : `${name} accepts no more work; ${running}`;
    },
  };
}

function enable(name: string, tag: string | null): Change {
  return {
    title: `Enable ${name}`,
    effect: `Sets enabled = true in the sidecar of ${name}, and starts it.`,
    call: `POST ${path(name, "/enable")}`,
    run: async () => {
      await call("post", "/v1/plugins/{name}/enable", { params: { path: { name }, header: ifMatch(tag) } });
      return `${name} is enabled.`;
    },
  };
}

function disable(name: string, tag: string | null, stopped: string): Change {
  return {
    title: `Disable ${name}`,
    effect: `${stopped} Sets enabled = false in the sidecar of ${name}. Its state and its backlog are kept.`,
    call: `POST ${path(name, "/disable")}`,
    run: async () => {
      await call("post", "/v1/plugins/{name}/disable", { params: { path: { name }, header: ifMatch(tag) } });
      return `${name} is disabled.`;
    },
  };
}

function remove(name: string, tag: string | null, stopped: string, onRemoved: () => void): Change {
  return {
    title: `Remove ${name}`,
    effect: `Deletes the component and the sidecar of ${name} from the plugin folder. ${stopped} Its state, its backlog and its dead letters are kept.`,
    call: `DELETE ${path(name, "")}`,
    isDestructive: true,
    run: async () => {
      await call("delete", "/v1/plugins/{name}", { params: { path: { name }, header: ifMatch(tag) } });
      onRemoved();
      return `${name} is removed.`;
    },
  };
}
