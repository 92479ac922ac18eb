/** A name beside one that is taken: "notes.txt" becomes "notes (2).txt", and that "notes (3).txt". */

import { editableName, encodeName, join, lastSegment, type Path, parent } from "../lib/paths";

export function besides(name: string): string {
  const dot = name.lastIndexOf(".");
  // A leading dot hides a file and is no suffix.
  const cut = dot > 0 ? dot : name.length;
  const [stem, suffix] = [name.slice(0, cut), name.slice(cut)];
  const numbered = /^(.*) \((\d+)\)$/s.exec(stem);
  return numbered ? `${numbered[1]} (${Number(numbered[2]) + 1})${suffix}` : `${stem} (2)${suffix}`;
}

/** The same of a path: asked again, it counts on from the name that turned out to be taken too. */
export function pathBesides(path: Path): Path {
  return join(parent(path), encodeName(besides(editableName(lastSegment(path)))));
}
