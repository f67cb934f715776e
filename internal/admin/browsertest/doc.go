// Package browsertest drives a headless Chromium through chromedriver, by the
// W3C WebDriver protocol: enough to load a page, press its buttons, read it and
// take its picture.
package browsertest
