using System.Net;
using System.Text;

namespace GatedFwa.Cli.Commands.Inspect;

/// <summary>
/// One HTML file that stands for itself: markup, style and script are the resources of the folder Page, the numbers a block of JSON.
/// No text of a user becomes markup: the title is encoded, and JSON holds no <c>&lt;</c>.
/// </summary>
internal static class InspectionPage
{
    // Each uses what those before it define.
    private static readonly string[] Scripts =
        ["numbers.js", "words.js", "choice.js", "text.js", "charts.js", "reach.js", "gradients.js", "start.js"];

    public static string Write(Inspection inspection)
    {
        var parts = new Dictionary<string, string>
        {
            ["title"] = WebUtility.HtmlEncode($"What {Words.Printable(inspection.Request.Model)} remembers"),
            ["style"] = Resource("page.css"),
            ["script"] = string.Concat(Scripts.Select(Resource)),
            ["data"] = PageData.Json(inspection),
        };
        var page = new StringBuilder();
        // One pass, so that nothing in a part can stand for another part.
        string[] pieces = Resource("page.html").Split("{{");
        page.Append(pieces[0]);
        foreach (string piece in pieces.AsSpan(1))
        {
            string[] nameAndRest = piece.Split("}}", 2);
            page.Append(parts[nameAndRest[0]]).Append(nameAndRest[1]);
        }

        return page.ToString();
    }

    private static string Resource(string name)
    {
        using Stream stream = typeof(InspectionPage).Assembly.GetManifestResourceStream(name)!;
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }
}
