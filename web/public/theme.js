// Before anything is drawn: the colours that were chosen last, so that a dark page never flashes white.
try {
  const theme = JSON.parse(localStorage.getItem("pulse.theme"));
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; then the system's choice stands.
}
