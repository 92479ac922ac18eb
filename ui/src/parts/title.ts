/** The window's title says where one is: it is what a screen reader says first, and what the history shows. */

import { useEffect } from "react";

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} – workspacefs`;
  }, [title]);
}
