/**
 * How a name is shown. A name may hold anything but "/" and NUL: line breaks, marks that turn the reading direction,
 * bytes that are no text. None of them may hide what the name is, so each becomes something visible.
 */

import { decodeBytes, lastSegment, type NamePart, type Path, segments } from "./paths";

/** Characters without a shape of their own that change how their neighbours read. */
const MISLEADING = /[\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/;

const ESCAPES: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}

/** The parts of one encoded segment. */
export function nameParts(segment: string): NamePart[] {
  const parts: NamePart[] = [];
  const push = (text: string, odd: boolean) => {
    const last = parts.at(-1);
    if (last && last.odd === odd) last.text += text;
    else parts.push({ text, odd });
  };
  const pieces = textPieces(decodeBytes(segment));
  pieces.forEach((piece, index) => {
    const edge = index === 0 || index === pieces.length - 1;
    const shown = piece.valid ? visibleCharacter(piece.text, edge) : null;
    if (!piece.valid) push(piece.text, true);
    else push(shown ?? piece.text, shown !== null);
  });
  return parts;
}

/** A segment as one string, for labels, announcements and titles. */
export function shownName(segment: string): string {
  return nameParts(segment)
    .map((part) => part.text)
    .join("");
}

export function shownPath(path: Path): string {
  return `/${segments(path).map(shownName).join("/")}`;
}

export function shownLast(path: Path): string {
  return shownName(lastSegment(path)) || "/";
}

/** A text of many lines, with what would mislead its reader made visible; line breaks and tabs stay what they are. */
export function visibleText(text: string): string {
  const lines = text.replace(/\r\n/g, "\n");
  return [...lines].map((char) => (/[\n\t ]/.test(char) ? char : (visibleCharacter(char, false) ?? char))).join("");
}

/** What stands for a character that cannot be seen; null for one that can. */
function visibleCharacter(char: string, atEdge: boolean): string | null {
  const code = char.codePointAt(0) ?? 0;
  // Spelled out in letters: the signs that Unicode has for them are missing in many fonts.
  if (ESCAPES[char]) return ESCAPES[char];
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return `\\x${hex(code, 2)}`;
  // A space at either end is easily overlooked, and is why "the same" name is not found.
  if (char === " " && atEdge) return "\u00b7";
  if (MISLEADING.test(char)) return `<U+${hex(code, 4)}>`;
  return null;
}

interface Piece {
  text: string;
  valid: boolean;
}

function textPieces(bytes: Uint8Array): Piece[] {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const characters = (text: string) => [...text].map((char) => ({ text: char, valid: true }));
  try {
    return characters(decoder.decode(bytes));
  } catch {
    // Not text as a whole: character by character, so that only the bytes that are none are shown as bytes.
  }
  const pieces: Piece[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes[at] ?? 0);
    try {
      pieces.push(...characters(decoder.decode(bytes.subarray(at, at + length))));
      at += length;
    } catch {
      pieces.push({ text: `\\x${hex(bytes[at] ?? 0, 2)}`, valid: false });
      at += 1;
    }
  }
  return pieces;
}

/** How many bytes the UTF-8 sequence has that begins with `lead`. */
function sequenceLength(lead: number): number {
  if (lead >= 0xf0) return 4;
  if (lead >= 0xe0) return 3;
  return lead >= 0xc0 ? 2 : 1;
}
