/** What a dialog asks for: sent once, however often one presses, and answered only to the dialog that asked. */

import { useEffect, useState } from "react";
import { inOneLine } from "../api/errors";
import { useToast } from "./toasts";

export interface Answered {
  done: () => void;
  failed: (error: unknown) => void;
}

export class Wish {
  private sent = false;
  private left = false;

  /** `late` hears of what went wrong when the dialog was closed meanwhile. */
  constructor(private readonly late: (error: unknown) => void) {}

  enter(): void {
    this.left = false;
  }

  leave(): void {
    this.left = true;
  }

  async send(act: () => Promise<unknown>, answered: Answered): Promise<void> {
    if (this.sent) return;
    this.sent = true;
    try {
      await act();
    } catch (error) {
      return this.left ? this.late(error) : answered.failed(error);
    } finally {
      this.sent = false;
    }
    // Closing it now would close whichever dialog is open instead.
    if (!this.left) answered.done();
  }
}

export function useWish(): Wish {
  const toast = useToast();
  const [wish] = useState(() => new Wish((error) => toast({ bad: true, text: inOneLine(error) })));
  useEffect(() => {
    wish.enter();
    return () => wish.leave();
  }, [wish]);
  return wish;
}
