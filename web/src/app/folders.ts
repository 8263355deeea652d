/** Folders in which a session can be started. Pure. */

import type { RootState, SessionSummary } from "../ahp/types";
import { pathOf } from "./content";

const asUri = (folder: string): string =>
  folder.startsWith("/") ? `file://${folder.split("/").map(encodeURIComponent).join("/")}` : folder;

/** The folders that the machine says it trusts; before it says so, those of the known sessions. */
export function trustedFolders(
  root: RootState | undefined,
  sessions: Iterable<SessionSummary>,
): string[] {
  const said = root?.config?.values["copilot.trustedFolders"];
  const folders = Array.isArray(said)
    ? said.filter((folder) => typeof folder === "string").map(asUri)
    : [...sessions].flatMap((summary) => summary.workingDirectories?.slice(0, 1) ?? []);
  return [...new Set(folders)].sort((a, b) => pathOf(a).localeCompare(pathOf(b)));
}
