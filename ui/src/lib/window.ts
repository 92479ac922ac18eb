/** Which rows of a long table are drawn: those in view and a few more, so that scrolling finds them there. */

export interface Window {
  first: number;
  /** One past the last. */
  end: number;
}

const MORE_ROWS = 10;

export function windowOf(scrollTop: number, height: number, rowHeight: number, rows: number): Window {
  const first = Math.floor(Math.max(0, scrollTop) / rowHeight) - MORE_ROWS;
  const end = Math.ceil((Math.max(0, scrollTop) + height) / rowHeight) + MORE_ROWS;
  // A folder that shrank may leave the place scrolled to behind its end.
  return { first: Math.max(0, Math.min(first, rows)), end: Math.max(0, Math.min(end, rows)) };
}

/** Where to scroll so that the row is in view below a head of `head` pixels; the same place if it is. */
export function scrollToShow(row: number, scrollTop: number, height: number, rowHeight: number, head: number): number {
  const top = row * rowHeight;
  if (top < scrollTop) return top;
  const bottom = top + rowHeight + head;
  return bottom > scrollTop + height ? bottom - height : scrollTop;
}
