/** The browser's offer to install the page as an app, kept until the person asks for it. */

interface InstallEvent extends Event {
  prompt(): Promise<void>;
}

const DECLINED = "install-declined";

class Installer {
  offered = $state(false);
  /** Somebody said that they do not want it; it stays in the settings. */
  declined = $state(localStorage.getItem(DECLINED) !== null);
  /** No offer comes here, but a person can do it: Safari on phones and tablets. */
  readonly byHand =
    /iPhone|iPad/.test(navigator.userAgent) && !matchMedia("(display-mode: standalone)").matches;
  private event: InstallEvent | undefined;

  constructor() {
    addEventListener("beforeinstallprompt", (event) => {
      event.preventDefault();
      this.event = event as InstallEvent;
      this.offered = true;
    });
  }

  async install(): Promise<void> {
    const event = this.event;
    this.event = undefined;
    this.offered = false;
    await event?.prompt();
  }

  decline(): void {
    this.declined = true;
    localStorage.setItem(DECLINED, "");
  }
}

export const installer = new Installer();
