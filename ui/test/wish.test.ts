import { describe, expect, it, vi } from "vitest";
import { Wish } from "../src/parts/wish";

function setUp() {
  const late = vi.fn();
  const answered = { done: vi.fn(), failed: vi.fn() };
  const answers: { give: () => void; refuse: (error: unknown) => void }[] = [];
  const act = () => new Promise<void>((give, refuse) => void answers.push({ give, refuse }));
  return { wish: new Wish(late), late, answered, answers, act };
}

describe("what a dialog asks for", () => {
  it("is sent once, however often one presses", async () => {
    const { wish, answered, answers, act } = setUp();
    const both = [wish.send(act, answered), wish.send(act, answered)];
    expect(answers).toHaveLength(1);
    answers[0]?.give();
    await Promise.all(both);
    expect(answered.done).toHaveBeenCalledTimes(1);
  });

  it("may be sent again once it was refused", async () => {
    const { wish, answered, answers, act } = setUp();
    const first = wish.send(act, answered);
    answers[0]?.refuse("taken");
    await first;
    expect(answered.failed).toHaveBeenCalledWith("taken");
    void wish.send(act, answered);
    expect(answers).toHaveLength(2);
  });

  it("does not close the dialog that was opened after its own was closed", async () => {
    const { wish, late, answered, answers, act } = setUp();
    const sent = wish.send(act, answered);
    wish.leave();
    answers[0]?.give();
    await sent;
    expect(answered.done).not.toHaveBeenCalled();
    expect(late).not.toHaveBeenCalled();
  });

  it("says what went wrong also when its dialog was closed", async () => {
    const { wish, late, answered, answers, act } = setUp();
    const sent = wish.send(act, answered);
    wish.leave();
    answers[0]?.refuse("no room");
    await sent;
    expect(late).toHaveBeenCalledWith("no room");
    expect(answered.failed).not.toHaveBeenCalled();
  });
});
