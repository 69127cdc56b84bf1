import { render } from "preact";
import { App } from "./app";
import "./styles/theme.css";
import "./styles/base.css";
import "./styles/components.css";
import "./styles/shell.css";

const root = document.getElementById("app");
if (root !== null) {
  render(<App />, root);
}
