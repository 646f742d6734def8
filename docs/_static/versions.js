// The versions of these pages, newest first. They lie side by side, each in a folder named
// after it. A release adds a line here, and its copy of this file replaces that of all others.
const versions = ["0.1.0.dev0"];

// The theme reads its list from an address. One that holds the list itself works without
// a server, too.
{
  const options = DOCUMENTATION_OPTIONS;
  const here = new URL(document.documentElement.dataset.content_root, location);
  const list = versions.map((version) => {
    const own = version === options.theme_switcher_version_match;
    return { version, url: own ? here.href : new URL(`../${version}/`, here).href };
  });
  options.theme_switcher_json_url =
    "data:application/json," + encodeURIComponent(JSON.stringify(list));
}
