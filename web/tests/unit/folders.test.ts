import { expect, it } from "vitest";
import type { RootState, SessionSummary } from "../../src/ahp/types";
import { trustedFolders } from "../../src/app/folders";

const session = (...folders: string[]) => ({ workingDirectories: folders }) as SessionSummary;
const root = (folders: unknown) =>
  ({ agents: [], config: { values: { "copilot.trustedFolders": folders } } }) as RootState;

it("takes the folders that the machine trusts", () => {
  expect(trustedFolders(root(["/b", "/a b/ü", 3, "/b"]), [session("file:///c")])).toEqual([
    "file:///a%20b/%C3%BC",
    "file:///b",
  ]);
  expect(trustedFolders(root([]), [session("file:///c")])).toEqual([]);
});

it("takes those of the sessions where the machine says nothing", () => {
  const sessions = [session("file:///b"), session("file:///a", "file:///x"), session("file:///b")];
  expect(trustedFolders(undefined, sessions)).toEqual(["file:///a", "file:///b"]);
});
