/** Line drawings of our own, drawn in the text's colour. They always stand beside words, so they say nothing themselves. */

const SHAPES = {
  folder: "M2.5 5.5a1 1 0 0 1 1-1h3.7l1.6 1.7h7.7a1 1 0 0 1 1 1v7.3a1 1 0 0 1-1 1h-13a1 1 0 0 1-1-1z",
  file: "M5 2.5h6.5L15.5 6.5v11H5zM11.5 2.5v4h4",
  image: "M3 4h14v12H3zM3 13.5l4-4 3 3 2.5-2.5 4.5 4.5M12.7 7.2h.1",
  link: "M8.5 11.5l3-3M7 9.5l-2 2a2.5 2.5 0 0 0 3.5 3.5l2-2M13 10.5l2-2A2.5 2.5 0 0 0 11.500 5l-2 2",
  other: "M10 2.5l7 4v7l-7 4-7-4v-7zM10 10.200l7-3.7M10 10.200v7.300M10 10.200l-7-3.700",
  upload: "M10 13V3.500M6 7.500l4-4 4 4M3.500 13v3.500h13V13",
  cloud: "M6 15.500a3.500 3.500 0 0 1-.4-7 4.500 4.500 0 0 1 8.700 1 3 3 0 0 1 .2 6z",
  download: "M10 3.500V13M6 9l4 4 4-4M3.500 13v3.500h13V13",
  plus: "M10 4v12M4 10h12",
  trash: "M4 5.500h12M8 5.500v-2h4v2M5.500 5.500l.7 11h7.600l.7-11M8.500 8.500v5M11.500 8.500v5",
  pencil: "M4 16l.8-3.400L13.400 4a1.400 1.400 0 0 1 2.600 1.600l-8.600 9.600z",
  move: "M10 3v14M3 10h14M7.500 5.500L10 3l2.500 2.500M7.500 14.500L10 17l2.500-2.500M5.500 7.500L3 10l2.500 2.500M14.500 7.500L17 10l-2.500 2.500",
  search: "M9 4a5 5 0 1 0 0 10A5 5 0 0 0 9 4zM12.700 12.700L17 17",
  pause: "M7 4.500v11M13 4.500v11",
  play: "M6.500 4l9 6-9 6z",
  close: "M5 5l10 10M15 5L5 15",
  undo: "M7.500 4L4 7.500 7.500 11M4 7.500h7.500a4.500 4.500 0 0 1 0 9H8",
  chevron: "M5.500 8l4.500 4.500L14.500 8",
  disk: "M3 5.500c0-1.400 3.100-2.500 7-2.500s7 1.100 7 2.500v9c0 1.400-3.100 2.500-7 2.500s-7-1.100-7-2.500zM3 5.500C3 6.900 6.100 8 10 8s7-1.100 7-2.500",
  copy: "M7 7h9.500v9.500H7zM4 13V4h9",
  refresh: "M16 10a6 6 0 1 1-1.800-4.300M16 3v3.500h-3.500",
  check: "M4.500 10.500l3.500 3.500 7.500-8",
  sun: "M10 6.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7zM10 2v1.500M10 16.500V18M2 10h1.500M16.500 10H18M4.500 4.500l1 1M14.500 14.500l1 1M15.500 4.500l-1 1M5.500 14.500l-1 1",
} as const;

export type IconName = keyof typeof SHAPES;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 20 20" width="18" height="18" aria-hidden="true" focusable="false">
      <path d={SHAPES[name]} />
    </svg>
  );
}
