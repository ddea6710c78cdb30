using System.Text;

namespace GatedFwa.Training.Data;

/// <summary>Reads the identifiers of .NET documentation files, such as <c>M:System.String.Join``1(System.Char,``0[])</c>.</summary>
internal static class MemberName
{
    /// <summary>The type that an identifier belongs to (or is): <c>System.String</c>.</summary>
    public static ReadOnlySpan<char> DeclaringType(ReadOnlySpan<char> identifier)
    {
        ReadOnlySpan<char> path = WithoutArguments(WithoutKind(identifier));
        return identifier.StartsWith("T:") ? path : path[..Math.Max(0, path.LastIndexOf('.'))];
    }

    /// <summary>How a reader would name a type in full: <c>System.Collections.Generic.List&lt;T&gt;</c>.</summary>
    public static string FullType(ReadOnlySpan<char> type)
    {
        var text = new StringBuilder();
        AppendType(text, type);
        return text.ToString();
    }

    /// <summary>How a reader would name a member inside its type: <c>Join(Char, T[])</c>.</summary>
    public static void AppendMember(StringBuilder text, ReadOnlySpan<char> identifier)
    {
        ReadOnlySpan<char> path = WithoutKind(identifier);
        ReadOnlySpan<char> name = WithoutArguments(path);
        ReadOnlySpan<char> owner = name[..Math.Max(0, name.LastIndexOf('.'))];
        ReadOnlySpan<char> last = LastPart(name);
        // Constructors are written "#ctor"; explicit implementations carry the interface's dots as '#'.
        if (last.SequenceEqual("#ctor") || last.SequenceEqual("#cctor")) last = LastPart(owner);
        if (last.LastIndexOf('#') is var hash and >= 0) last = last[(hash + 1)..];
        AppendType(text, last);
        if (name.Length == path.Length) return;
        text.Append('(');
        AppendShortTypes(text, path[(name.Length + 1)..].TrimEnd(')'));
        text.Append(')');
    }

    /// <summary>How a sentence would name what an identifier refers to: <c>List&lt;T&gt;</c>, <c>Int32.MaxValue</c>.</summary>
    public static void AppendReference(StringBuilder text, ReadOnlySpan<char> identifier)
    {
        ReadOnlySpan<char> name = WithoutArguments(WithoutKind(identifier));
        if (!identifier.StartsWith("T:") && identifier.Length > 1 && identifier[1] == ':')
        {
            int lastDot = name.LastIndexOf('.');
            if (lastDot > 0)
            {
                AppendType(text, LastPart(name[..lastDot]));
                if (name[(lastDot + 1)..].StartsWith('#')) return;
                text.Append('.');
            }
        }

        AppendType(text, LastPart(name));
    }

    private static ReadOnlySpan<char> WithoutKind(ReadOnlySpan<char> identifier) =>
        identifier.Length > 1 && identifier[1] == ':' ? identifier[2..] : identifier;

    private static ReadOnlySpan<char> WithoutArguments(ReadOnlySpan<char> path) =>
        path.IndexOf('(') is var open and >= 0 ? path[..open] : path;

    private static ReadOnlySpan<char> LastPart(ReadOnlySpan<char> path) => path[(path.LastIndexOf('.') + 1)..];

    /// <summary>
    /// Appends a name, its arity spelled out: <c>List`1</c> is List&lt;T&gt;, <c>Dictionary`2</c> is Dictionary&lt;T1, T2&gt;.
    /// </summary>
    private static void AppendType(StringBuilder text, ReadOnlySpan<char> name)
    {
        for (int i = 0; i < name.Length; i++)
        {
            if (name[i] != '`')
            {
                text.Append(name[i]);
                continue;
            }

            int arity = ReadNumber(name, ref i);
            if (arity is < 1 or > 32) continue;
            text.Append('<');
            for (int argument = 1; argument <= arity; argument++)
            {
                if (argument > 1) text.Append(", ");
                AppendTypeArgument(text, arity == 1 ? 0 : argument);
            }

            text.Append('>');
        }
    }

    /// <summary>Appends a parameter list, its namespaces dropped and type arguments named T, or T1, T2 where there are several.</summary>
    private static void AppendShortTypes(StringBuilder text, ReadOnlySpan<char> types)
    {
        int start = text.Length;
        bool several = types.Contains("`1", StringComparison.Ordinal) || types.Contains("`2", StringComparison.Ordinal);
        for (int i = 0; i < types.Length; i++)
        {
            char c = types[i];
            switch (c)
            {
                case '`':
                    int number = ReadNumber(types, ref i);
                    AppendTypeArgument(text, several ? number + 1 : 0);
                    break;
                case '.':
                    text.Length = start;
                    break;
                case '@':
                    break;
                case '{' or '[' or '(' or ',' or '}' or ']' or ')':
                    text.Append(c switch { '{' => '<', '}' => '>', _ => c });
                    if (c == ',') text.Append(' ');
                    start = text.Length;
                    break;
                default:
                    text.Append(c);
                    break;
            }
        }
    }

    private static void AppendTypeArgument(StringBuilder text, int number)
    {
        text.Append('T');
        if (number > 0) text.Append(number);
    }

    /// <summary>Reads the digits after one or two backticks, leaving <paramref name="i"/> on the last of them.</summary>
    private static int ReadNumber(ReadOnlySpan<char> name, ref int i)
    {
        while (i + 1 < name.Length && name[i + 1] == '`') i++;
        int number = 0;
        while (i + 1 < name.Length && char.IsAsciiDigit(name[i + 1]) && number < 1000) number = (number * 10) + (name[++i] - '0');
        return number;
    }
}
