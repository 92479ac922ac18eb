/** The pages of one file system. */

import { href, type Route } from "../route";

export function FsTabs({ ws, fs, here }: { ws: string; fs: string; here: "files" | "imports" | "trash" }) {
  const tabs: { label: string; to: Route & { page: string } }[] = [
    { label: "Files", to: { page: "files", ws, fs, path: "" } },
    { label: "Imports", to: { page: "imports", ws, fs } },
    { label: "Trash", to: { page: "trash", ws, fs } },
  ];
  return (
    <nav className="tabs" aria-label={`File system ${fs}`}>
      {tabs.map(({ label, to }) => (
        <a key={label} href={href(to)} aria-current={to.page === here ? "page" : undefined}>
          {label}
        </a>
      ))}
    </nav>
  );
}
