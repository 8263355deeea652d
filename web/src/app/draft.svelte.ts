/** What is being typed and not sent: it survives a reload. */

import { app } from "./app.svelte";

/** Made while a component is made; kept as long as it lives. */
export class Draft {
  text = $state("");
  /** Whether what was kept has been read; until then nothing is written over it. */
  private read = $state(false);

  /** `key` names it among the drafts of this device. */
  constructor(private readonly key: string) {
    void app.draft(key).then((kept) => {
      // Somebody may have begun to type meanwhile.
      if (kept) this.putBefore(kept);
      this.read = true;
    });
    $effect(() => {
      const { text } = this;
      if (this.read) void app.keepDraft(key, text);
    });
  }

  /** Nothing of it is there any more when this ends. */
  clear(): Promise<void> {
    this.text = "";
    return app.keepDraft(this.key, "");
  }

  /** Puts a text before what is being typed by now. */
  putBefore(text: string): void {
    this.text = [text, this.text].filter((part) => part.trim()).join("\n\n");
  }
}
