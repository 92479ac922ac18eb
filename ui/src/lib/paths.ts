/**
 * Paths and names as bytes. A path is kept everywhere as the contract has it: percent-encoded byte by byte, from the
 * root, without a leading slash; "" is the root. So a name that is no UTF-8 goes back to the server as it came, and
 * only what is shown is ever decoded.
 */

export type Path = string;

/** A piece of a name as it is shown; `odd` where the text stands for something that could not be seen or would mislead. */
export interface NamePart {
  text: string;
  odd: boolean;
}

const NAME_BYTES_MAX = 255;

/** One segment of a path, of text that somebody typed or a file's name. */
export function encodeName(name: string): string {
  // encodeURIComponent throws on half a surrogate pair; the bytes of such a name cannot be known, so U+FFFD stands for it.
  const whole = name.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
  return encodeURIComponent(whole);
}

/** The bytes of one encoded segment. What is not a proper escape stands for itself. */
export function decodeBytes(segment: string): Uint8Array {
  const raw = new TextEncoder().encode(segment);
  const bytes = new Uint8Array(raw.length);
  let length = 0;
  for (let at = 0; at < raw.length; at += 1) {
    const hex = raw[at] === 0x25 ? String.fromCharCode(raw[at + 1] ?? 0, raw[at + 2] ?? 0) : "";
    if (/^[0-9a-f]{2}$/i.test(hex)) {
      bytes[length] = Number.parseInt(hex, 16);
      at += 2;
    } else {
      bytes[length] = raw[at] ?? 0;
    }
    length += 1;
  }
  return bytes.subarray(0, length);
}

/** One spelling for each path, so that ours and the server's can be compared. */
export function canonical(path: Path): Path {
  return segments(path).map(canonicalSegment).join("/");
}

function canonicalSegment(segment: string): string {
  let out = "";
  for (const byte of decodeBytes(segment)) {
    const char = String.fromCharCode(byte);
    out += /[A-Za-z0-9._~-]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

export function segments(path: Path): string[] {
  return path.split("/").filter((segment) => segment !== "");
}

export function join(folder: Path, segment: string): Path {
  return folder === "" ? segment : `${folder}/${segment}`;
}

export function parent(path: Path): Path {
  return segments(path).slice(0, -1).join("/");
}

export function lastSegment(path: Path): string {
  return segments(path).at(-1) ?? "";
}

/** Whether `path` is `folder` or lies below it. */
export function isWithin(path: Path, folder: Path): boolean {
  const [inner, outer] = [canonical(path), canonical(folder)];
  return outer === "" || inner === outer || inner.startsWith(`${outer}/`);
}

/** A name as text to be edited: bytes that are no UTF-8 become U+FFFD. Never sent back as a path unless it was changed. */
export function editableName(segment: string): string {
  return new TextDecoder().decode(decodeBytes(segment));
}

/** A path typed by a person, such as "/data/new set". */
export function pathFromInput(text: string): Path {
  return text.trim().split("/").filter(Boolean).map(encodeName).join("/");
}

/** A path as a person would type it. */
export function inputFromPath(path: Path): string {
  return `/${segments(path).map(editableName).join("/")}`;
}

/** Why the text cannot be a name, as a sentence; null if it can. */
export function nameProblem(name: string): string | null {
  if (name === "") return "Enter a name.";
  if (name === "." || name === "..") return `"${name}" means a folder itself; choose another name.`;
  if (name.includes("/")) return 'A name cannot hold "/": it separates folders.';
  if (name.includes("\0")) return "A name cannot hold the character NUL.";
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > NAME_BYTES_MAX) return `This name has ${bytes} bytes; at most ${NAME_BYTES_MAX} are possible.`;
  return null;
}

/** Why the text cannot be a path, as a sentence; null if it can. */
export function pathProblem(text: string): string | null {
  for (const name of text.split("/").filter(Boolean)) {
    const problem = nameProblem(name);
    if (problem) return problem;
  }
  return null;
}
