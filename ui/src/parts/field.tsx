/** A labelled input; what is wrong with it stands below it and is read with it. */

import { type InputHTMLAttributes, type ReactNode, type RefObject, useEffect, useId, useRef } from "react";

interface Said {
  hint?: ReactNode;
  error?: string | null | undefined;
}

/** The ids of what is said of an input, for those who hear it. */
function described(id: string, { hint, error }: Said): string | undefined {
  return [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ") || undefined;
}

function Notes({ id, hint, error }: Said & { id: string }) {
  return (
    <>
      {hint && (
        <p className="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p className="field-error" id={`${id}-error`} role="alert">
          {error}
        </p>
      )}
    </>
  );
}

/** For a form's `ref`: when what is `wrong` changes, it goes to the first such input and shows what is said below it. */
export function useFirstWrong(wrong: unknown): RefObject<HTMLFormElement | null> {
  const form = useRef<HTMLFormElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: to be run when that changes
  useEffect(() => {
    const input = form.current?.querySelector<HTMLElement>("[aria-invalid=true]");
    input?.focus();
    input?.closest(".field")?.scrollIntoView({ block: "nearest" });
  }, [wrong]);
  return form;
}

interface Props extends Omit<InputHTMLAttributes<HTMLInputElement>, "onChange"> {
  label: string;
  hint?: ReactNode;
  error?: string | null | undefined;
  onValue: (value: string) => void;
}

export function Field({ label, hint, error, onValue, ...input }: Props) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>
        {label}
        {!input.required && <span className="optional"> (optional)</span>}
      </label>
      <input
        {...input}
        id={id}
        aria-invalid={error ? true : undefined}
        aria-describedby={described(id, { hint, error })}
        // Names, keys and paths are no prose.
        spellCheck={false}
        autoCapitalize="off"
        onChange={(event) => onValue(event.target.value)}
      />
      <Notes id={id} hint={hint} error={error} />
    </div>
  );
}

interface SelectProps {
  label: string;
  value: string;
  onValue: (value: string) => void;
  children: ReactNode;
  hint?: ReactNode;
  error?: string | null | undefined;
}

export function Select({ label, value, onValue, children, hint, error }: SelectProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        value={value}
        aria-invalid={error ? true : undefined}
        aria-describedby={described(id, { hint, error })}
        onChange={(event) => onValue(event.target.value)}
      >
        {children}
      </select>
      <Notes id={id} hint={hint} error={error} />
    </div>
  );
}

interface ChoiceProps<T extends string> {
  legend: string;
  value: T;
  options: readonly { value: T; label: string; hint?: string }[];
  onValue: (value: T) => void;
}

export function Choice<T extends string>({ legend, value, options, onValue }: ChoiceProps<T>) {
  const name = useId();
  return (
    <fieldset className="choice">
      <legend>{legend}</legend>
      {options.map((option) => (
        <label key={option.value} className={option.value === value ? "chosen" : ""}>
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={option.value === value}
            onChange={() => onValue(option.value)}
          />
          <span>
            {option.label}
            {option.hint && <small>{option.hint}</small>}
          </span>
        </label>
      ))}
    </fieldset>
  );
}
