/** Pairs this device with the machine that a link names. The person compares the code by typing it. */

import { texts } from "../app/texts";
import { text, type Bytes } from "./bytes";
import {
  ChannelError,
  CONTROL,
  KIND_HANDSHAKE,
  KIND_REFUSAL,
  KIND_TRANSPORT,
  SealedChannel,
  deviceIdOf,
} from "./channel";
import type { PairingLink } from "./links";
import { Inbox, refusalWords } from "./machine";
import type { KeyPair } from "./noise";
import { claimDevice, LinkSocket, pairingTicket, RelayError } from "./relay";

export interface PairingSteps {
  /** Six digits, to be typed at the machine. */
  code(code: string, machine: string): void;
}

export interface Paired {
  machine: string;
  session?: string;
}

const WITHIN_MS = 10 * 60 * 1000;

/** Resolves when the machine has taken this device and the relay knows it. */
export async function pair(
  base: URL,
  link: PairingLink,
  own: KeyPair,
  name: string,
  steps: PairingSteps,
  signal: AbortSignal,
): Promise<Paired> {
  const { ticket } = await pairingTicket(base, link.pairingId);
  const sealed = await SealedChannel.pair(link, own, name);
  const deviceId = await deviceIdOf(own.publicKey);
  return new Promise<Paired>((resolve, reject) => {
    let paired: Paired | undefined;
    let claimed = false;
    let machine = "";
    const finish = () => {
      if (!paired || !claimed) return;
      clearTimeout(late);
      resolve(paired);
      socket.end(texts.pairDone(machine));
    };
    const fail = (error: unknown) => {
      clearTimeout(late);
      reject(error instanceof Error ? error : new ChannelError(texts.pairFailedSomehow));
      socket.end(texts.pairFailedSomehow);
    };
    const late = setTimeout(() => fail(new ChannelError(texts.pairExpired)), WITHIN_MS);
    signal.addEventListener("abort", () => fail(new ChannelError(texts.stopped)));

    const work = async (frame: Bytes) => {
      const payload = frame.slice(1);
      if (frame[0] === KIND_HANDSHAKE) {
        ({ name: machine } = await sealed.accept(payload));
        steps.code(await sealed.code(), machine);
      } else if (frame[0] === KIND_REFUSAL) {
        throw new RelayError("refused", refusalWords(payload));
      } else if (frame[0] === KIND_TRANSPORT) {
        const message = await sealed.unseal(payload);
        if (message?.type !== CONTROL) return;
        const control = JSON.parse(text(message.bytes)) as Record<string, unknown>;
        if (control.type === "refused") {
          throw new RelayError(String(control.reason), String(control.message ?? ""));
        }
        if (control.type !== "paired") return;
        if (control.deviceId !== deviceId) throw new ChannelError(texts.pairAnotherDevice);
        paired = {
          machine: String((control.machine as { name?: unknown } | undefined)?.name ?? machine),
          ...(typeof control.session === "string"
            ? { session: control.session }
            : link.session === undefined
              ? {}
              : { session: link.session }),
        };
        finish();
      }
    };
    const inbox = new Inbox(work, fail);
    const socket: LinkSocket = new LinkSocket(base, ticket, {
      machines: () => undefined,
      presence: () => undefined,
      machineRemoved: () => undefined,
      claim: (claim, of) => {
        // Who takes what is another's would be that one.
        if (of !== deviceId) return;
        claimDevice(base, claim).then(() => {
          claimed = true;
          finish();
        }, fail);
      },
      ready: () => {
        socket
          .open(link.machineId, {
            frame: (payload) => inbox.put(payload),
            closed: (_reason, message) => {
              // What the machine said last may still be in the queue.
              if (!paired)
                setTimeout(() => fail(new ChannelError(message || texts.channelClosed)), 500);
            },
          })
          .then((channel) => channel.send(sealed.opening), fail);
      },
      ended: (why) => {
        if (!paired || !claimed) fail(new ChannelError(why));
      },
    });
  });
}
