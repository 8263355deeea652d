/** Times as people say them. */

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

const DAY_MS = 86_400_000;

/** `14:05` today, `3 Nov 14:05` before. */
export function moment(at: number | string, now = Date.now()): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  const today = new Date(now).toDateString() === date.toDateString();
  return today ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`;
}

/** `now`, `5 min`, `3 h`, `2 d`, then a date. */
export function ago(at: string, now = Date.now()): string {
  const past = now - Date.parse(at);
  if (Number.isNaN(past)) return "";
  if (past < 60_000) return "now";
  if (past < 3_600_000) return `${Math.floor(past / 60_000)} min`;
  if (past < DAY_MS) return `${Math.floor(past / 3_600_000)} h`;
  if (past < 7 * DAY_MS) return `${Math.floor(past / DAY_MS)} d`;
  return day.format(new Date(at));
}

export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A size as people say it. */
export const bytes = (value: number): string =>
  value < 1000
    ? `${value} B`
    : value < 1_000_000
      ? `${Math.round(value / 1000)} kB`
      : `${Math.round(value / 1_000_000)} MB`;

export const count = (value: number): string =>
  value < 1000
    ? String(value)
    : value < 1_000_000
      ? `${(value / 1000).toFixed(1)}k`
      : `${(value / 1_000_000).toFixed(1)}M`;
