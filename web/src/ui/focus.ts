/**
 * Focus stays near a person when what had it goes away, as a card does that was answered: it goes
 * to the nearest thing marked `data-home` that is left.
 */
export function keepFocus(root: HTMLElement): { destroy(): void } {
  /** What had the focus, and what it was in. */
  let path: Element[] = [];
  const visible = (element: Element) => element.isConnected && element.checkVisibility();
  const remember = (event: FocusEvent) => {
    path = [];
    for (let at = event.target as Element | null; at && at !== root; at = at.parentElement) {
      path.push(at);
    }
  };
  const look = () => {
    if (document.activeElement !== document.body || !path[0] || visible(path[0])) return;
    for (const place of [...path.filter(visible), root]) {
      const homes = place.querySelectorAll<HTMLElement>("[data-home]");
      const home = [...homes].find(visible);
      if (!home) continue;
      home.focus({ preventScroll: true });
      return;
    }
  };
  root.addEventListener("focusin", remember);
  const observer = new MutationObserver(look);
  observer.observe(root, { childList: true, subtree: true });
  return {
    destroy() {
      observer.disconnect();
      root.removeEventListener("focusin", remember);
    },
  };
}
