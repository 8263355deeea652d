/** The browser's offer to install the page as an app, kept until the person asks for it. */

interface InstallEvent extends Event {
  prompt(): Promise<void>;
}

class Installer {
  offered = $state(false);
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
}

export const installer = new Installer();
