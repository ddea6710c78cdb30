using GatedFwa.Checkpoints;

namespace GatedFwa.Cli.Commands.Info;

/// <summary>What a safetensors file holds.</summary>
internal static class SafetensorsReport
{
    public static void Write(string path, bool json)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        long elements = file.Entries.Sum(entry => entry.Shape.Count);
        if (json)
        {
            JsonOutput.Write(new
            {
                Path = path,
                Bytes = file.FileBytes,
                Elements = elements,
                file.Metadata,
                Tensors = file.Entries.Select(entry => new { entry.Name, Type = entry.Type.ToString(), Shape = entry.Shape.ToArray(), entry.Bytes }),
            });
            return;
        }

        Facts.Print("file", path);
        Facts.Print("size", $"{Words.Bytes(file.FileBytes)}, {Words.Count(elements)} numbers in {file.Entries.Count} tensors");
        foreach ((string key, string value) in file.Metadata) Facts.Print(key, value);
        Console.Out.WriteLine();
        int width = file.Entries.Count == 0 ? 0 : file.Entries.Max(entry => entry.Name.Length);
        foreach (SafetensorsEntry entry in file.Entries)
            Console.Out.WriteLine($"{Words.Printable(entry.Name).PadRight(Math.Min(width, 48))}  {entry.Type,-4}  {entry.Shape}");
    }
}
