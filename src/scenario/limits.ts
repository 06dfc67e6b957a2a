/** How deep a scenario may go: deeper than any machine we know of. Here by itself so that `--help` needs no zod. */
export const MAX_DEPTH = 16;
