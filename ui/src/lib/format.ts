/** Numbers and times as people read them. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** Bytes with three digits that count: "812 B", "1.46 GiB", "37.2 TiB". */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "unknown";
  let amount = value;
  let unit = 0;
  // 1,023.6 KiB would be shown as "1024 KiB", hence the limit below 1,024.
  while (amount >= 999.5 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || amount >= 99.95 ? 0 : amount >= 9.995 ? 1 : 2;
  return `${amount.toFixed(digits)} ${UNITS[unit]}`;
}

export function rate(bytesPerSecond: number | null | undefined): string {
  return bytesPerSecond === null || bytesPerSecond === undefined ? "" : `${bytes(bytesPerSecond)}/s`;
}

/** Seconds as "40 s", "3 min", "2 h 5 min", "4 d". */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "";
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  if (minutes < 48 * 60) {
    const rest = minutes % 60;
    return rest === 0 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60)} h ${rest} min`;
  }
  return `${Math.round(minutes / 1440)} d`;
}

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** An RFC 3339 time in the reader's own zone. */
export function time(text: string | null | undefined): string {
  const at = text ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? "" : TIME.format(at);
}

/** Whole percent; null where the total is not known. 100 only when it is all: "100 %, still running" reads as a fault. */
export function percent(done: number, total: number | null | undefined): number | null {
  if (total === null || total === undefined) return null;
  if (total <= 0) return done >= total ? 100 : 0;
  return done >= total ? 100 : Math.min(99, Math.max(0, Math.floor((done / total) * 100)));
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
