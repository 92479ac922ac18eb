/** A name beside one that is taken: "notes.txt" becomes "notes (2).txt", and that "notes (3).txt". */

export function besides(name: string): string {
  const dot = name.lastIndexOf(".");
  // A leading dot hides a file and is no suffix.
  const cut = dot > 0 ? dot : name.length;
  const [stem, suffix] = [name.slice(0, cut), name.slice(cut)];
  const numbered = /^(.*) \((\d+)\)$/s.exec(stem);
  return numbered ? `${numbered[1]} (${Number(numbered[2]) + 1})${suffix}` : `${stem} (2)${suffix}`;
}
