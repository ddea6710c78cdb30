namespace GatedFwa.Cli;

/// <summary>Lines of a name and a value on stdout.</summary>
internal static class Facts
{
    public static void Print(string name, string value) => Console.Out.WriteLine($"{Words.Printable(name),-18} {Words.Printable(value)}");
}
