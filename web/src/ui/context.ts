/** The session that a part of the page is about. */

import { getContext, setContext } from "svelte";
import type { Machine, SessionView } from "../app/machine.svelte";

export interface SessionContext {
  machine: Machine;
  view: SessionView;
}

const KEY = Symbol("session");

export const provideSession = (session: SessionContext): void => {
  setContext(KEY, session);
};

export const useSession = (): SessionContext => getContext<SessionContext>(KEY);
